# syntax=docker/dockerfile:1
# Prepares, trains, compares and searches; everything that it writes goes to /work:
#   docker build -f docker/train.Dockerfile -t gradops-train .
#   docker run --rm -v "$PWD:/work" -u "$(id -u)" gradops-train compare shop.toml
# An index of CPU builds of torch is named by a pip.conf, which does not stay in the image: --secret id=pip,src=pip.conf.
# On a GPU machine: --build-arg VARIANT=cuda, without that pip.conf.

FROM python:3.11.13-slim-bookworm AS wheel
WORKDIR /app/source
COPY pyproject.toml README.md LICENSE ./
COPY features features
COPY gradops gradops
COPY jobs jobs
COPY models models
COPY pipeline pipeline
RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip wheel --no-cache-dir --no-deps --wheel-dir /app/dist .

FROM python:3.11.13-slim-bookworm
# LightGBM needs OpenMP's runtime; Debian keeps no older versions of it that could be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
ARG VARIANT=cpu
COPY requirements /app/requirements
COPY --from=wheel /app/dist /app/dist
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --no-cache-dir --constraint /app/requirements/lock.txt /app/dist/gradops-*.whl \
    && pip install --no-cache-dir --no-deps --constraint /app/requirements/lock.txt \
        torchrec --requirement "/app/requirements/$VARIANT.txt"
RUN install --directory --mode 1777 /work
ENV HOME=/tmp
WORKDIR /work
USER 10001
ENTRYPOINT ["gradops"]
CMD ["--help"]
