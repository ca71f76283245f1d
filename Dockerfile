# One image for every process of ours: beat, streams, Flower, the simulator, a worker for each queue.
# The build needs PyPI; nothing of it is left in the image that runs.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv /venv
COPY requirements.txt ./
RUN /venv/bin/pip install --requirement requirements.txt
COPY pyproject.toml ./
COPY whalestack/ whalestack/
# Editable, because migrations are read from the checkout beside the package.
RUN /venv/bin/pip install --no-deps --editable .

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN groupadd --gid 10001 whalestack \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin whalestack
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
COPY alembic.ini ./
COPY alembic/ alembic/
# What may be written: beat's state and the run folder, both volumes or thrown away.
RUN mkdir -p celerybeat-schedule .run data && chown whalestack:whalestack celerybeat-schedule .run data
USER whalestack
CMD ["whalestack", "--help"]
