"""How spans are sent to a collector; apart, since what sends them takes long to import."""

from enum import StrEnum


class OtlpProtocol(StrEnum):
    """The values of OTEL_EXPORTER_OTLP_PROTOCOL."""

    GRPC = "grpc"
    HTTP = "http/protobuf"
