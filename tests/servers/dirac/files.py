"""Makes the files of a server: folders, certificates and configuration."""

from __future__ import annotations

from pathlib import Path

from tests.servers.dirac import certificates, configuration

from .components import HERE
from .settings import GROUPS, HOST, STORAGE_ELEMENTS, Settings


def make_folders(settings: Settings) -> None:
    for name in ("logs", "home", "client/etc", "server/etc"):
        (settings.folder / name).mkdir(parents=True, exist_ok=True)
    for name in (*STORAGE_ELEMENTS, "sandboxes"):
        settings.storage(name).mkdir(parents=True)
    for number in range(1, settings.agents + 1):
        for name in ("etc", "home", "work"):
            (settings.worker(number) / name).mkdir(parents=True)


def make_certificates(settings: Settings) -> None:
    """Make the certificate authority, and the certificates of users and of the host."""
    ca_key, ca_folder = settings.key("ca"), settings.ca_folder
    certificates.make_authority(ca_key, ca_folder)
    for user in GROUPS:
        certificates.make_user(
            user, settings.certificate(user), settings.key(user), ca_key, ca_folder
        )
    certificates.make_host(HOST, settings.certificate(HOST), settings.key(HOST), ca_key, ca_folder)


def write_configuration(settings: Settings, templates: configuration.Tree) -> None:
    """Write the configuration of server, client and workers.

    Args:
        settings: Of the server.
        templates: DIRAC's own configuration templates.
    """
    served = configuration.central(settings, templates)
    _write(settings, "server", configuration.NAME, served)
    _write(settings, "server", "dirac", configuration.server(settings, served))
    _write(settings, "client", "dirac", configuration.client(settings))
    wrapper = settings.folder / "job_wrapper.py"
    wrapper.write_text(_quick_wrapper(settings.dirac))
    for number in range(1, settings.agents + 1):
        tree = configuration.worker(settings, number, str(wrapper))
        _write(settings, f"worker-{number}", "dirac", tree)


def _write(settings: Settings, folder: str, name: str, tree: configuration.Tree) -> None:
    (settings.folder / folder / "etc" / f"{name}.cfg").write_text(configuration.to_text(tree))


def _quick_wrapper(dirac: Path) -> str:
    """Return DIRAC's job wrapper, changed to check the payload at once instead of after 5 s."""
    source = dirac / "WorkloadManagementSystem" / "JobWrapper" / "JobWrapperTemplate.py"
    line = "from DIRAC.WorkloadManagementSystem.JobWrapper import JobWrapper as JW\n"
    text = source.read_text()
    if text.count(line) != 1:
        raise RuntimeError(f"{source} is not as expected: it has not once {line!r}")
    added = (
        "JW.CHILD_PID_POLL_INTERVALS = [0.1] * 100\n"
        f"import runpy; runpy.run_path({str(HERE / 'reconnect.py')!r})\n"
    )
    return text.replace(line, line + added)
