# The server alone; its database is yours, as DATABASE_URL (compose.yaml brings one).
FROM rust:1.95-slim-trixie AS build
WORKDIR /build
COPY . .
# The caches stay from one build to the next and are in no image: hence the copy.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked && cp target/release/concurrency-lab /usr/local/bin/

FROM debian:trixie-slim
COPY --from=build /usr/local/bin/concurrency-lab /usr/local/bin/
# Nobody: it writes no file.
USER 65534:65534
# In a container, loopback would be reached by nobody.
ENV LAB_LISTEN=0.0.0.0:3000
EXPOSE 3000
# By bash, which is there; a program to ask with would be one more package. /readyz asks the database too.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3000 && \
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && read -r _ status _ <&3 && [ $status = 200 ]"]
ENTRYPOINT ["concurrency-lab"]
CMD ["serve"]
