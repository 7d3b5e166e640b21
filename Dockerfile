# Give the base by digest where builds must be repeatable: --build-arg PYTHON=python@sha256:…
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
# An image that seals and queries records: --build-arg EXTRAS=[records]
ARG EXTRAS=
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml README.md LICENSE ./
COPY safeguards_extproc ./safeguards_extproc
# The service's own dependencies alone, unless somebody asks for more: no torch, no Triton, no test tools.
RUN /opt/venv/bin/pip install --no-cache-dir ".${EXTRAS}" \
    && /opt/venv/bin/pip uninstall --yes pip

FROM ${PYTHON}
LABEL org.opencontainers.image.title="safeguards-extproc" \
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
