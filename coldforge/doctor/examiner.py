"""Joins the examination to Azure: the only place of the doctor that knows both."""

from azure.mgmt.compute import ComputeManagementClient

from coldforge.doctor.deployment import Deployment
from coldforge.doctor.examination import Examination, ExaminationOptions
from coldforge.doctor.probes.account import AzureAccountProbes
from coldforge.doctor.probes.app import AzureAppProbes
from coldforge.doctor.probes.login import open_credential
from coldforge.doctor.probes.machines import AzureMachineProbes
from coldforge.doctor.probes.rest import CONNECT_S, MANAGEMENT, READ_S, AzureRest
from coldforge.transport import Transport


def build_examination(
    deployment: Deployment, *, key: str | None, options: ExaminationOptions
) -> Examination:
    """Return an examination with the login of this machine. Nothing is sent yet.

    Args:
        deployment: What to examine.
        key: Function key of the app, or None.
        options: How to examine.
    """
    credential = open_credential()
    rest = AzureRest(credential, deployment.arm_url, scope=MANAGEMENT)
    compute = ComputeManagementClient(
        credential,
        deployment.subscription_id,
        base_url=deployment.arm_url,
        retry_total=0,
        connection_timeout=CONNECT_S,
        read_timeout=READ_S,
    )
    server = Transport(deployment.app_url, key=key, read_timeout_s=READ_S, outage_limit_s=0.0)
    return Examination(
        deployment=deployment,
        account=AzureAccountProbes(deployment, credential, rest, compute),
        app=AzureAppProbes(deployment, credential, rest, server),
        machines=AzureMachineProbes(compute),
        options=options,
    )
