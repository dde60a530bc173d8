# The connector, and beside it the reference bridge and the lab's setup: one image, three commands.
ARG BASE=python:3.13-slim
FROM ${BASE}

# openssl makes the lab's certificates. A base without Python gets Debian's.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openssl \
    $(command -v python3 >/dev/null || echo python3 python3-venv) \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/connector \
 && useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin connector

WORKDIR /app
# Where docker/wheels/ holds packages (a build without a network), they are all that is used; else the index is.
COPY pyproject.toml requirements.lock README.md LICENSE docker/wheels/*.whl* /app/wheels/
RUN cd wheels \
 && sed -e 's/ *\\$//' -e '/^ *--hash/d' requirements.lock > constraints.txt \
 && python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print("\n".join([*p["build-system"]["requires"], *p["project"]["dependencies"], *p["project"]["optional-dependencies"]["desktop"]]))' > wanted.txt \
 && if ls ./*.whl >/dev/null 2>&1; then offline="--no-index --find-links ."; fi \
 && /opt/connector/bin/pip install --no-cache-dir --disable-pip-version-check ${offline:-} -c constraints.txt -r wanted.txt

COPY pyproject.toml README.md LICENSE /app/source/
COPY connector /app/source/connector
RUN /opt/connector/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation /app/source \
 && rm -rf /app/source /app/wheels
COPY asterisk-conf /app/asterisk-conf
COPY config /app/config
COPY docker/health.py /app/health.py

ENV PATH=/opt/connector/bin:$PATH PYTHONUNBUFFERED=1
USER connector
ENTRYPOINT ["connector"]
CMD ["run", "--config", "/lab/connector.yaml"]
