# The server alone. DATABASE_URL names its database; compose.yaml adds one.
FROM rust:1.95-slim-trixie AS build
WORKDIR /build
COPY . .
# The cache mounts persist between builds and are not part of the image, so the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked && cp target/release/concurrency-lab /usr/local/bin/

FROM debian:trixie-slim
COPY --from=build /usr/local/bin/concurrency-lab /usr/local/bin/
# The user nobody: the server writes no file.
USER 65534:65534
# A loopback address of the container could not be reached from outside it.
ENV LAB_LISTEN=0.0.0.0:3000
EXPOSE 3000
# bash is in the image; an HTTP client would be one more package. /readyz checks the database too.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3000 && \
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && read -r _ status _ <&3 && [ $status = 200 ]"]
ENTRYPOINT ["concurrency-lab"]
CMD ["serve"]
