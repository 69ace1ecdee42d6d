"""Where the Kubernetes API is, said once for both clients: the pod's service account, else KUBECONFIG."""

from pathlib import Path

import kopf
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from marketdata.errors import Misconfigured


def connection() -> SingleConfig:
    """Return the configuration as it is now; raises Misconfigured where there is none, or a broken one."""
    try:
        found = KubeConfig.from_env().get()
    except (ConfigError, KeyError, OSError) as error:
        raise Misconfigured(
            f"no way to the Kubernetes API: {error}; run in a pod with a service account, or set KUBECONFIG"
        ) from None
    if found is None or found.user is None:
        raise Misconfigured("the kubeconfig names no user for its current context")
    return found


def for_the_watch() -> kopf.ConnectionInfo:
    """Return the same for kopf."""
    return kopf_connection(connection())


def kopf_connection(found: SingleConfig) -> kopf.ConnectionInfo:
    """Return kopf's form of `found`; a token file is read anew at each call, as the token rotates."""
    cluster, user = found.cluster, found.user or User()

    def path(name: str | None) -> str | None:
        return None if name is None else str(found.abs_file(name))

    token = Path(user.token_file).read_text().strip() if user.token_file else user.token
    return kopf.ConnectionInfo(
        server=cluster.server,
        ca_path=path(cluster.certificate_auth),
        ca_data=cluster.certificate_auth_data,
        insecure=cluster.insecure,
        token=token,
        username=user.username,
        password=user.password,
        certificate_path=path(user.client_cert),
        certificate_data=user.client_cert_data,
        private_key_path=path(user.client_key),
        private_key_data=user.client_key_data,
        default_namespace=found.namespace,
    )
