"""The system as a whole: Overview, Services and workers, Topology, Tables, Settings in force."""

from trunkline.console.pages.system.overview import overview
from trunkline.console.pages.system.services import services
from trunkline.console.pages.system.settings import settings_in_force
from trunkline.console.pages.system.tables import tables
from trunkline.console.pages.system.topology import topology_picture

__all__ = ["overview", "services", "settings_in_force", "tables", "topology_picture"]
