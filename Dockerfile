# Headrace in a container: one image for `headrace up`, `train` and `serve`.
#   docker build --tag headrace .                                 PyTorch with CUDA, as requirements.lock pins it
#   docker build --tag headrace --build-arg TORCH_BACKEND=cpu .   PyTorch without CUDA, much smaller, outside the lock
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG TORCH_BACKEND=""
WORKDIR /build
COPY requirements.lock pyproject.toml ./
# The tools come from the lock too, their hashes checked, into an environment that stays behind in this stage.
RUN python -m venv --without-pip /opt/headrace \
 && python -m venv /opt/tools \
 && awk '/^uv==/{found = 1} found{print} found && !/\\$/{exit}' requirements.lock > uv.lock \
 && /opt/tools/bin/python -m pip install --no-cache-dir --require-hashes --requirement uv.lock \
 && /opt/tools/bin/uv pip install --no-cache --python /opt/tools/bin/python \
        --require-hashes --constraints requirements.lock --group build
# What pyproject.toml asks for at run time, in the versions and with the hashes of the lock, which holds more than that.
RUN if [ -z "${TORCH_BACKEND}" ]; then \
        /opt/tools/bin/uv pip install --no-cache --python /opt/headrace/bin/python --only-binary :all: \
            --require-hashes --constraints requirements.lock --extra avro --extra librdkafka --extra parquet --requirements pyproject.toml; \
    else \
        awk '/^[^ #]/{skip = /^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==/} !skip' \
            requirements.lock > without-torch.lock \
     && /opt/tools/bin/uv pip install --no-cache --python /opt/headrace/bin/python --only-binary :all: \
            --torch-backend "${TORCH_BACKEND}" "torch==$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' requirements.lock)" \
            --constraints without-torch.lock --extra avro --extra librdkafka --extra parquet --requirements pyproject.toml; \
    fi
COPY README.md LICENSE ./
COPY service service
COPY consumers consumers
COPY models models
RUN /opt/tools/bin/python -m hatchling build --target wheel --directory dist \
 && /opt/tools/bin/uv pip install --no-cache --python /opt/headrace/bin/python --no-deps --offline dist/*.whl

FROM python:${PYTHON}-slim
# No compiler, no pip: what runs here was put together above.
RUN python -m pip uninstall --yes --quiet pip \
 && groupadd --gid 10001 headrace \
 && useradd --uid 10001 --gid headrace --home-dir /var/lib/headrace --create-home --shell /usr/sbin/nologin headrace \
 && install --directory --owner headrace --group headrace /var/lib/headrace/data /run/headrace
COPY --from=build /opt/headrace /opt/headrace
ENV PATH=/opt/headrace/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADRACE_DATA_DIR=/var/lib/headrace/data \
    HEADRACE_PUBLISH_DIR=/run/headrace
USER headrace
WORKDIR /var/lib/headrace
VOLUME ["/var/lib/headrace/data"]
EXPOSE 8000
# PyTorch alone takes seconds to import on a busy machine, hence the long start. A server may speak TLS; its certificate
# is made out to another name. One that asks for certificates of its clients needs a check of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import ssl, urllib.request\ndef ask(scheme):\n    urllib.request.urlopen(scheme + '://127.0.0.1:8000/health/live', timeout=2, context=ssl._create_unverified_context())\ntry:\n    ask('http')\nexcept Exception:\n    ask('https')"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["headrace"]
CMD ["up"]
