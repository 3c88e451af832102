# The one image of Sealyard: the sidecar, the injector, and nft for the redirect of injected pods.
#
#   docker build --build-arg VERSION=1.0.0 --build-arg REVISION="$(git rev-parse HEAD)" -t sealyard .
#
# BASE must be Debian 13, for its Rust crates, with Python 3.11 to 3.14 as python3; pin it by digest
# for a release. Nothing here depends on where its Python lives.
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS native
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends cargo librust-memchr-dev librust-pyo3-dev
WORKDIR /build
COPY requirements-build.lock ./
RUN python3 -m venv /build/venv \
 && /build/venv/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
      --require-hashes --requirement requirements-build.lock
COPY LICENSE ./
COPY native native
WORKDIR /build/native
# With it, the time and the name that maturin gives to the list of crates are those of the commit.
ARG SOURCE_DATE_EPOCH
RUN mkdir --parents ~/.cargo \
 && cp debian.toml ~/.cargo/config.toml \
 && /build/venv/bin/maturin build --release --strip --compatibility manylinux_2_34 --out /build/wheels

FROM ${BASE} AS build
# For strip.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends binutils
WORKDIR /build
COPY tools/docker/requirements-image.lock ./
# The environment has no pip of its own, so that the image has none to call.
RUN python3 -m venv --without-pip /opt/sealyard \
 && python3 -m pip --python /opt/sealyard/bin/python install --no-cache-dir --no-compile \
      --disable-pip-version-check --only-binary :all: --require-hashes \
      --requirement requirements-image.lock
COPY --from=native /build/wheels /build/wheels
RUN python3 -m pip --python /opt/sealyard/bin/python install --no-cache-dir --no-compile \
      --disable-pip-version-check --no-index --no-deps wheels/*.whl
# Wheels bring debugging symbols, C sources and commands of their own: half of their size. The cffi
# backend of zstandard is that of PyPy.
RUN find /opt/sealyard/lib -name '*.so' -exec strip --strip-unneeded {} + \
 && find /opt/sealyard/lib -regex '.*\.\(pyi\|pyx\|pxd\|pxi\|c\|h\)' -delete \
 && rm --recursive --force /opt/sealyard/include /opt/sealyard/lib/python*/site-packages/zstandard/_cffi.* \
 && find /opt/sealyard/bin -type f -delete
# As in the wheel: other packages are called `proxy` too.
COPY proxy /opt/sealyard/lib/sealyard/sealyard
COPY --chmod=0755 tools/docker/sealyard /opt/sealyard/bin/sealyard
# Modules are compiled here, since the image is read-only where it runs; by the hashes, not times, of their
# sources, so that two builds are the same and a derived image may replace a source.
RUN site="$(/opt/sealyard/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && printf '/opt/sealyard/lib/sealyard\n' >"$site/sealyard.pth" \
 && /opt/sealyard/bin/python -m compileall -f -q -j 0 --invalidation-mode checked-hash "$site" /opt/sealyard/lib/sealyard \
 && /opt/sealyard/bin/python -c 'from sealyard.core.leaves import FORM; assert FORM == "native"'

FROM ${BASE} AS serving
# nft gets its one capability by the file, so that the container need not be root's. Debian's
# security updates are wanted, so no version is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends nftables libcap2-bin \
 && setcap cap_net_admin+ep /usr/sbin/nft \
 && apt-get purge --yes --auto-remove libcap2-bin \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig /var/log/dpkg.log /var/log/apt
COPY --from=build /opt/sealyard /opt/sealyard
COPY tools/docker/sbom.py /tmp/sbom.py
ARG VERSION=0.0.0
# What is in the image, as CycloneDX; `docker run --entrypoint python3 IMAGE ...` is not needed to
# read it: `docker cp` takes it out.
RUN /opt/sealyard/bin/python -I /tmp/sbom.py container "$VERSION" >/opt/sealyard/sbom.cdx.json \
 && rm /tmp/sbom.py

ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sealyard" \
      org.opencontainers.image.description="A sidecar that encrypts and decrypts messages" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/sealyard/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    SEALYARD_CONFIG=/etc/sealyard/config/sealyard.yaml
# 15080 redirected traffic, 15021 health, 9901 admin, 10250 the injector's webhook
EXPOSE 15080 15021 9901 10250
USER 65532:65532
WORKDIR /
# For engines that look at it (Kubernetes does not): the configuration needs `health` on this port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/opt/sealyard/bin/python", "-I", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:15021/readyz', timeout=2)"]
ENTRYPOINT ["/opt/sealyard/bin/sealyard"]
CMD ["serve"]

# For looking into a pod: `docker build --target debug -t sealyard:debug .`
FROM serving AS debug
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends conntrack curl iproute2 procps strace tcpdump \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt
USER 65532:65532

FROM serving
