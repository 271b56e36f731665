# syntax=docker/dockerfile:1
# Serves one version of a model over HTTP at port 8080, without torchrec; the model's folder is part of the image:
#   mlflow artifacts download -u models:/shop@champion -d model
#   docker build -f docker/serve.Dockerfile -t shop .
#   docker run --rm --read-only --tmpfs /tmp --memory 2g -p 8080:8080 shop
# An index of CPU builds of torch is named by a pip.conf, which does not stay in the image: --secret id=pip,src=pip.conf.

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
COPY requirements /app/requirements
COPY --from=wheel /app/dist /app/dist
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --no-cache-dir --constraint /app/requirements/lock.txt /app/dist/gradops-*.whl
COPY model /app/model
ENV HOME=/tmp OMP_NUM_THREADS=1
USER 10001
EXPOSE 8080
HEALTHCHECK --start-period=60s --interval=10s --timeout=5s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
ENTRYPOINT ["gradops", "serve", "/app/model"]
CMD ["--host", "0.0.0.0", "--port", "8080"]
