"""The environment, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu_agent.settings import EnvironReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the boot program is told from outside.

    Attributes:
        folder: Where the two files go; exists, and only root can look into it.
        imds_url: Instance metadata service.
        within_s: Seconds after which it gives up.
        retry_s: Longest pause between two tries, in seconds.
    """

    folder: Path
    imds_url: str
    within_s: float
    retry_s: float

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings.

        Raises:
            SettingsError: Names everything that is absent or wrong, in one message.
        """
        reader = EnvironReader(environ, "")
        settings = cls(
            # systemd's own name for the unit's RuntimeDirectory.
            folder=Path(reader.required("RUNTIME_DIRECTORY")),
            # The name by which azure-identity knows it.
            imds_url=(
                reader.text("AZURE_POD_IDENTITY_AUTHORITY_HOST") or "http://169.254.169.254"
            ).rstrip("/"),
            within_s=reader.number("GPU_BOOT_WITHIN_S", 600.0, low=0.0, high=3600.0),
            retry_s=reader.number("GPU_BOOT_RETRY_S", 10.0, low=0.1, high=60.0),
        )
        reader.raise_complaints()
        return settings
