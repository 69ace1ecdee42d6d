"""What OpenTelemetry's standard variables say: read leniently, as clusters put them into every pod."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

# Those that the SDK knows by itself; another name, or a part that is none, it would take for all traces.
_SAMPLERS = frozenset(
    f"{based}{sampler}"
    for based in ("", "parentbased_")
    for sampler in ("always_on", "always_off", "traceidratio")
)

_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)


def _env(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class TraceSettings(BaseSettings):
    """Where traces are sent: nowhere, unless an exporter or an endpoint is named.

    The names and meanings are OpenTelemetry's, whose SDK also reads the others there are:
    `OTEL_BSP_…`, `OTEL_EXPORTER_OTLP_TIMEOUT`, `…_CERTIFICATE`, `…_COMPRESSION`. What is wrong in
    them turns traces off, says so in a line and stops nothing.
    """

    model_config = _config

    disabled: str = Field(
        "false",
        validation_alias=_env("OTEL_SDK_DISABLED"),
        description="`true` turns traces off, whatever else is set.",
    )
    exporter: str = Field(
        "",
        validation_alias=_env("OTEL_TRACES_EXPORTER"),
        description="`otlp` or `none`; unset is `otlp` where an endpoint is given, else `none`.",
    )
    endpoint: str = Field(
        "",
        validation_alias=_env("OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="The collector, such as `http://collector:4318`; `/v1/traces` is added.",
    )
    traces_endpoint: str = Field(
        "",
        validation_alias=_env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        description="The same for traces alone, used as it is.",
    )
    protocol: str = Field(
        "http/protobuf",
        validation_alias=_env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        description="Only `http/protobuf` is spoken; the gRPC client is not in the images.",
    )
    headers: SecretStr | None = Field(
        None,
        validation_alias=_env("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        description="Headers for the collector: `name=value,…`.",
    )
    service_name: str = Field(
        "",
        validation_alias=_env("OTEL_SERVICE_NAME"),
        description="The service of the spans; `market-data-…` and the component where unset.",
    )
    resource_attributes: str = Field(
        "",
        validation_alias=_env("OTEL_RESOURCE_ATTRIBUTES"),
        description="More facts on every span's origin: `name=value,…`.",
    )
    sampler: str = Field(
        "parentbased_always_on",
        validation_alias=_env("OTEL_TRACES_SAMPLER"),
        description="Which traces are kept; `parentbased_traceidratio` for a part of them.",
    )
    sampler_argument: str = Field(
        "", validation_alias=_env("OTEL_TRACES_SAMPLER_ARG"), description="That part, such as `0.01`."
    )

    @property
    def wanted(self) -> bool:
        """Whether traces are asked for, possibly in a way that cannot be."""
        exporter = self.exporter.strip().lower()
        if self.disabled.strip().lower() == "true" or exporter == "none":
            return False
        return bool(exporter or self.endpoint.strip() or self.traces_endpoint.strip())

    @property
    def why_not(self) -> str | None:
        """Why traces that are wanted cannot be, repeating no value; None where they can."""
        if self.exporter.strip().lower() not in {"", "otlp"}:
            return "OTEL_TRACES_EXPORTER is neither otlp nor none"
        if self.protocol.strip().lower() not in {"", "http/protobuf"}:
            return "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf"
        for address in (self.endpoint, self.traces_endpoint):
            if address.strip() and not address.strip().startswith(("http://", "https://")):
                return "OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https address"
        sampler = self.sampler.lower()
        if sampler and sampler not in _SAMPLERS:
            return "OTEL_TRACES_SAMPLER is none of OpenTelemetry's samplers"
        if sampler.endswith("traceidratio") and not _is_part(self.sampler_argument or "1"):
            return "OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1"
        return None


def _is_part(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0
    except ValueError:
        return False
