"""How a PollingJob is called at the Kubernetes API, said once."""

GROUP = "marketdata.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "PollingJob"
PLURAL = "pollingjobs"
SINGULAR = "pollingjob"
SHORT_NAME = "pj"
CATEGORY = "market-data"
POLL_NOW = f"{GROUP}/poll-now"  # the annotation that asks for one poll beside the schedule
FIELD_MANAGER = "market-data-operator"

MAX_CONDITIONS = 16  # four are ours; the rest is room for other writers
MAX_FAILED_SYMBOLS = 20
MAX_MESSAGE_LENGTH = 256
