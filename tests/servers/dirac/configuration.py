"""The configuration of the server, its clients and its workers, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.servers.dirac import database, setups

from .certificates import distinguished_name
from .settings import (
    GROUPS,
    HOST,
    LOCAL_SITE,
    PARKED_SITE,
    SECOND_SITE,
    SETUP,
    VO,
    WORKING_SITES,
    Settings,
)

Tree = dict[str, "str | Tree"]

NAME = "Test"  # of the configuration; also its file's

CONFIGURATION = "Configuration/Server"
MIND = ("WorkloadManagement/OptimizationMind", "Framework/BundleDelivery")
# In the HTTPS layout these are behind Tornado.
EARLY = ("ResourceStatus/ResourceStatus", "Framework/ProxyManager")
MOVED = (
    *("WorkloadManagement/JobManager", "WorkloadManagement/JobMonitoring"),
    *("WorkloadManagement/JobStateUpdate", "WorkloadManagement/WMSAdministrator"),
    *("DataManagement/FileCatalog", "RequestManagement/ReqManager"),
)
# In both: an output sandbox is always fetched by DISET.
SANDBOX_STORE = "WorkloadManagement/SandboxStore"
STAYING = (
    *(SANDBOX_STORE, "WorkloadManagement/Matcher"),
    *("WorkloadManagement/PilotManager", "Accounting/DataStore"),
)
STORAGE_SERVICES = {"SE-1": "DataManagement/StorageElement", "SE-2": "DataManagement/Storage2"}
SERVICES = (*(CONFIGURATION, *MIND, *EARLY, *MOVED, *STAYING, *STORAGE_SERVICES.values()),)
BEHIND_TORNADO = (*EARLY, *MOVED, SANDBOX_STORE)
OTHER_PORTS = ("database", "opensearch", "tornado")

# Seconds. The interval at which a job wrapper sends a heartbeat and asks whether to stop.
_HEARTBEAT = "5"
# A job is stalled after this many heartbeats and a half: 32 s. With a shorter time, a job that
# downloads its input data on a busy machine counts as stalled.
_HEARTBEATS_UNTIL_STALLED = "6"
MAX_CPU_TIME = 700_000
"""Other than DIRAC's default."""
_QUEUE: Tree = {"CPUTime": "200000", "MaxCPUTime": "200000", "SI00": "2500", "VO": VO}
_COMPUTING_ELEMENTS = {LOCAL_SITE: HOST, SECOND_SITE: "second.test", PARKED_SITE: "parked.test"}
_RAM = "16000"  # MB
_ACCESS = ("Read", "Write", "Check", "Remove")


def systems() -> list[str]:
    """Return the systems of DIRAC that have a service here, whose templates are needed."""
    return sorted({service.split("/")[0] for service in SERVICES})


def tornado_name(service: str) -> str:
    """``WorkloadManagement/JobManager`` is ``WorkloadManagement/TornadoJobManager`` there."""
    system, name = service.split("/")
    return f"{system}/Tornado{name}"


def sites(settings: Settings) -> dict[str, str]:
    """Return the computing elements of all sites: those with a worker and the one without."""
    names = (*WORKING_SITES[: settings.agents], PARKED_SITE)
    return {name: _COMPUTING_ELEMENTS[name] for name in names}


def central(settings: Settings, templates: Tree) -> Tree:
    """Return the configuration that the configuration service serves."""
    active: Tree = {f"{access}Access": "Active" for access in _ACCESS}
    systems = _systems(settings, templates)
    return {
        "DIRAC": setups.served(settings, systems),
        "Systems": setups.with_instances(settings, systems),
        "Resources": {
            "FileCatalogs": {
                "FileCatalog": {
                    "CatalogType": "FileCatalog",
                    "CatalogURL": "DataManagement/FileCatalog",
                    "AccessType": "Read-Write",
                    "Status": "Active",
                    "Master": "True",
                }
            },
            "StorageElements": {
                name: {
                    "BackendType": "DISET",
                    "AccessProtocols": "dips",
                    "WriteProtocols": "dips",
                    **active,
                    "DIP": {
                        "Host": HOST,
                        "Port": str(settings.ports[service]),
                        "Protocol": "dips",
                        "Path": f"/{service}",
                        "Access": "remote",
                    },
                }
                for name, service in {
                    **STORAGE_SERVICES,
                    "ProductionSandboxSE": SANDBOX_STORE,
                }.items()
            },
            "Sites": {"DIRAC": {name: _site(settings, name) for name in sites(settings)}},
        },
        "Registry": _registry(),
        "Operations": {"Defaults": _operations()},
        "DiracX": {"DisabledVOs": VO},
        "WebApp": {},
    }


def server(settings: Settings, served: Tree) -> Tree:
    """Return the server's own configuration file."""
    systems = _at(served, "Systems")
    return {
        "DIRAC": {
            **_at(served, "DIRAC"),
            "Setup": SETUP,
            "Hostname": HOST,
            "VirtualOrganization": VO,
            "Configuration": {"Servers": _servers(settings), "Master": "yes", "Name": NAME},
            "Security": {
                "UseServerCertificate": "yes",
                "SkipCAChecks": "yes",
                "CertFile": str(settings.certificate(HOST)),
                "KeyFile": str(settings.key(HOST)),
                "CALocation": str(settings.ca_folder),
            },
        },
        "LocalInstallation": {},
        "Systems": {
            "Databases": _database(settings),
            # The configuration service reads its own section from here.
            "Configuration": _at(systems, "Configuration"),
        },
    }


def client(settings: Settings) -> Tree:
    """Return a client's configuration file."""
    return {
        "DIRAC": {
            "Setup": SETUP,  # which only DIRAC 8 reads
            "VirtualOrganization": VO,
            "Configuration": {"Servers": _servers(settings)},
            "Security": {
                "UseServerCertificate": "no",
                "SkipCAChecks": "no",
                "CALocation": str(settings.ca_folder),
            },
        }
    }


def worker(settings: Settings, number: int, wrapper_template: str) -> Tree:
    """Return the configuration file of a worker node."""
    site = WORKING_SITES[number - 1]
    slots = str(settings.slots)
    node: Tree = {
        "LocalSite": {
            "Site": site,
            "GridCE": _COMPUTING_ELEMENTS[site],
            "CEQueue": "queue",
            "LocalCE": "Pool",
            "LocalSE": f"SE-{number}",
            "CPUTime": "200000",
            "CPUTimeLeft": "10000000",
            "CPUNormalizationFactor": "1.0",
            "NumberOfProcessors": slots,
            "MaxRAM": _RAM,
            "PilotReference": f"pilot-{number}",
            "Tag": "MultiProcessor",
        },
        "Resources": {
            "Computing": {
                section: {"NumberOfProcessors": slots, "MaxRAM": _RAM}
                for section in ("CEDefaults", "Pool")
            }
        },
    }
    agent: Tree = {
        "PollingTime": "1",
        "SubmissionDelay": "0",
        "StopAfterFailedMatches": "1000000",
        "StopAfterHostFailures": "1000000",
        "StopOnApplicationFailure": "False",
        "FillingModeFlag": "True",
        "MinimumTimeLeft": "1",
        "MaxCycles": "0",
        "JobWrapperTemplate": wrapper_template,
    }
    systems: Tree = {"WorkloadManagement": {"Agents": {"JobAgent": agent}}}
    return {**client(settings), **node, "Systems": setups.with_instances(settings, systems)}


def to_text(tree: Tree, depth: int = 0) -> str:
    """Write a configuration in DIRAC's format."""
    indent = "  " * depth
    lines = []
    for name, value in tree.items():
        if isinstance(value, str):
            lines.append(f"{indent}{name} = {value}\n")
        else:
            content = to_text(value, depth + 1)
            lines.append(f"{indent}{name}\n{indent}{{\n{content}{indent}}}\n")
    return "".join(lines)


def _systems(settings: Settings, templates: Tree) -> Tree:
    result: Tree = {**templates}
    for service in SERVICES:
        system, name = service.split("/")
        section: Tree = {**_at(result, system, "Services", name)}
        section["Port"] = str(settings.ports[service])
        _at(result, system, "Services")[name] = section
        _at(result, system, "URLs")[name] = f"dips://{HOST}:{section['Port']}/{service}"
    for system, names in database.DATABASES.items():
        for name in names:
            _at(result, system, "Databases", name)["DBName"] = name
    for name, service in STORAGE_SERVICES.items():
        _at(result, service.split("/")[0], "Services", service.split("/")[1]).update(
            _storage_service(settings, name)
        )
    work_load = _at(result, "WorkloadManagement")
    _at(work_load, "Databases", "JobParametersDB")["index_name"] = "job_parameters"
    _at(work_load, "Services", "SandboxStore").update(
        BasePath=str(settings.storage("sandboxes")), LocalSE="ProductionSandboxSE"
    )
    _at(work_load, "Services", "JobManager")["MaxParametricJobs"] = str(
        settings.max_parametric_jobs
    )
    # Seconds after which jobs are found whose message was lost with a component.
    _at(work_load, "Services", "OptimizationMind")["LoadJobPeriod"] = "10"
    _at(work_load, "Agents", "StalledJobAgent").update(
        PollingTime="3",
        StalledTimeHours=_HEARTBEATS_UNTIL_STALLED,  # in spite of its name
        FailedTimeHours=_HEARTBEATS_UNTIL_STALLED,
        MatchedTime="60",
        MaxNumberOfThreads="2",
    )
    _at(work_load, "JobWrapper").update(
        PollingTime="1",
        CheckingTime=_HEARTBEAT,
        MinCheckingTime=_HEARTBEAT,
        MinOutputDataBufferGB="1",
    )
    kind = "TornadoConfigurationHandler" if settings.https else "ConfigurationHandler"
    _at(result, "Configuration", "Services", "Server")["HandlerPath"] = (
        f"DIRAC/ConfigurationSystem/Service/{kind}.py"
    )
    if settings.https:
        _move_behind_tornado(settings, result)
    result["Databases"] = _database(settings)
    result["NoSQLDatabases"] = {
        "User": "",
        "Password": "",
        "Host": "127.0.0.1",
        "Port": str(settings.ports["opensearch"]),
        "SSL": "No",
    }
    return result


def _storage_service(settings: Settings, name: str) -> Mapping[str, str | Tree]:
    return {
        "HandlerPath": "DIRAC/DataManagementSystem/Service/StorageElementHandler.py",
        "BasePath": str(settings.storage(name)),
        "Authorization": {"Default": "authenticated", "FileTransfer": {"Default": "authenticated"}},
    }


def _move_behind_tornado(settings: Settings, result: Tree) -> None:
    port = settings.ports["tornado"]
    for service in BEHIND_TORNADO:
        system, name = service.split("/")
        section: Tree = {**_at(result, system, "Services", name), "Protocol": "https"}
        del section["Port"]
        _at(result, system, "Services")[f"Tornado{name}"] = section
        _at(result, system, "URLs")[name] = f"https://{HOST}:{port}/{tornado_name(service)}"
    _at(result, "Configuration", "Services", "Server")["Protocol"] = "https"
    _at(result, "Configuration", "URLs")["Server"] = _servers(settings)
    _at(result, "Tornado")["Port"] = str(port)


def _site(settings: Settings, name: str) -> Tree:
    element = _COMPUTING_ELEMENTS[name]
    site: Tree = {
        "Name": name.split(".")[1],
        "CE": element,
        "CEs": {element: {"CEType": "InProcess", "Queues": {"queue": _QUEUE}}},
    }
    # The InputData optimizer fails jobs whose storage element is at more than one site.
    if name in WORKING_SITES:
        site["SE"] = f"SE-{WORKING_SITES.index(name) + 1}"
    return site


def _registry() -> Tree:
    users = {name: {"DN": distinguished_name(name), "Email": f"{name}@test"} for name in GROUPS}
    operator = (
        *("CSAdministrator", "JobAdministrator", "FullDelegation", "ProxyManagement"),
        *("Operator", "SiteManager", "FileCatalogManagement"),
    )
    return {
        "DefaultGroup": "dirac_user",
        "DefaultStorageQuota": "2000",
        "DefaultProxyTime": "432000",
        "Users": {name: {**user} for name, user in users.items()},
        "Groups": {
            "dirac_user": {
                "Users": _list(["ciuser", "diracadmin"]),
                "Properties": "NormalUser",
                "VO": VO,
                "AutoUploadProxy": "True",
            },
            "dirac_admin": {
                "Users": "diracadmin",
                "Properties": _list([*operator, "ServiceAdministrator", "NormalUser"]),
                "VO": VO,
            },
            "dirac_pilot": {
                "Users": "diracpilot",
                "Properties": "GenericPilot, LimitedDelegation",
                "VO": VO,
            },
        },
        "Hosts": {
            HOST: {
                "DN": distinguished_name(HOST),
                "Properties": _list([*operator, "TrustedHost", "GenericPilot"]),
            }
        },
        "VO": {VO: {"VOAdmin": "diracadmin", "DefaultGroup": "dirac_user"}},
    }


def _operations() -> Tree:
    download = "DIRAC.WorkloadManagementSystem.Client.DownloadInputData"
    return {
        "Services": {
            "Catalogs": {
                "CatalogList": "FileCatalog",
                "FileCatalog": {"AccessType": "Read-Write", "Status": "Active"},
            }
        },
        "DataManagement": dict.fromkeys(
            ("AccessProtocols", "WriteProtocols", "RegistrationProtocols"), "dips"
        ),
        "InputDataPolicy": {
            "Download": download,
            "Default": download,
            "InputDataModule": "DIRAC.WorkloadManagementSystem.Client.InputDataResolution",
        },
        "EMail": {"Logging": "nobody@test", "Production": "nobody@test"},
        # Which sites are usable is asked of the service only if it says so.
        "ResourceStatus": {"Config": {"State": "Active"}},
        "JobDescription": {"MaxCPUTime": str(MAX_CPU_TIME)},
    }


def _database(settings: Settings) -> Tree:
    return {
        "User": database.USER,
        "Password": database.PASSWORD,
        "Host": "127.0.0.1",
        "Port": str(settings.ports["database"]),
    }


def _servers(settings: Settings) -> str:
    scheme = "https" if settings.https else "dips"
    return f"{scheme}://{HOST}:{settings.ports[CONFIGURATION]}/{CONFIGURATION}"


def _at(tree: Tree, *path: str) -> Tree:
    """Return a section; create it if it is missing."""
    for name in path:
        section = tree.setdefault(name, {})
        assert isinstance(section, dict)
        tree = section
    return tree


def _list(values: Iterable[str]) -> str:
    return ", ".join(values)
