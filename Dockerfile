# Give the base by digest where builds must be repeatable: --build-arg PYTHON=python@sha256:…
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
# An image that seals and queries records: --build-arg EXTRAS=[records]
ARG EXTRAS=
# The hot path is native code, made of the same sources. As Python: --build-arg COMPILED=0
ARG COMPILED=1
WORKDIR /src
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE ./
COPY tools/compiled.py tools/hatch_build.py ./tools/
COPY safeguards_extproc ./safeguards_extproc
# The service's own dependencies alone, unless somebody asks for more: no torch, no Triton, no test tools, no installer.
# hadolint ignore=DL3013
RUN python -m venv --without-pip /opt/venv \
    && SAFEGUARDS_EXTPROC_COMPILED="${COMPILED}" pip --python /opt/venv/bin/python install --no-cache-dir ".${EXTRAS}"
# Symbols for debuggers and others' tests are a third of it. What lies in *.libs was moved by its wheel's builder, and
# would not load after strip.
RUN find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
    && find /opt/venv -type f -name '*.so' -not -path '*.libs/*' -exec strip --strip-debug {} + \
    && /opt/venv/bin/safeguards-extproc version

FROM ${PYTHON}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="safeguards-extproc" \
      org.opencontainers.image.description="An Envoy external-processing filter that keeps language models safe" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
RUN install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/safeguards
USER 65532:65532
EXPOSE 9002 9003 9090
ENTRYPOINT ["safeguards-extproc"]
CMD ["--help"]
