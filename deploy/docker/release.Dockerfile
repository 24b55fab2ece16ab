# The image of a release, around the binary that its archives have (.goreleaser.yaml).
FROM golang:1.26.8 AS base
RUN mkdir -p /out/data /out/tmp && chmod 1777 /out/tmp

FROM scratch
ARG TARGETPLATFORM
COPY --from=base /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY $TARGETPLATFORM/errand /errand
COPY --from=base --chown=65532:65532 /out/data /data
COPY --from=base /out/tmp /tmp
USER 65532:65532
ENV ERRAND_DATA=/data ERRAND_ADDR=0.0.0.0:4747 ERRAND_LOG_FORMAT=json
VOLUME /data
EXPOSE 4747
ENTRYPOINT ["/errand"]
CMD ["serve"]
