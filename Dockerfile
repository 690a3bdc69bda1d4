# One image for the control plane and for the sidecars: `docker build -t outrigger .`
# It holds both programs, iptables of both kinds and the libraries they are linked to: no shell, no package manager.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# Each by itself: the proxy has no use for all that the control plane asks of their common libraries, and a profile of its own.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    proxy/build-sidecar \
    && cargo build --profile dist --locked --package outrigger --bins \
    && install -D -t /image/usr/local/bin target/dist/outrigger target/sidecar/outrigger-proxy

# The same Debian as above, as the control plane is linked to its C library.
FROM debian:bookworm-slim AS files
RUN apt-get update && apt-get install --yes --no-install-recommends iptables && rm -rf /var/lib/apt/lists/*
COPY --from=build /image /image
RUN cp --archive --parents /usr/sbin/xtables-*-multi /usr/sbin/ip*tables-nft* /usr/sbin/ip*tables-legacy* \
        /usr/lib/*/xtables /image \
    && ldd /image/usr/local/bin/* /usr/sbin/xtables-*-multi /usr/lib/*/xtables/*.so \
        | grep --only-matching '/[^ :]* (' | cut --delimiter=' ' --fields=1 | sort --unique \
        | xargs cp --dereference --parents --target-directory=/image

FROM scratch
COPY --from=files /image /
ENV PATH=/usr/local/bin:/usr/sbin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/outrigger"]
