"""How a server is set up."""

from dataclasses import dataclass
from pathlib import Path

from ..backends import LoadOptions
from ..errors import Glm4Error
from ..machine.numa import nodes
from .names import Authority, is_local


@dataclass(frozen=True, kw_only=True)
class ReplicaSettings:
    """How many replicas of a model there are, and where. Wrong ones raise Glm4Error."""

    count: int
    ray: str | None = None
    """A cluster's address, such as auto or ray://head:10001; None is one of this machine, which ends with us."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise Glm4Error(f"--replicas is {self.count}", "Give 1 or more.")

    @property
    def cores(self) -> int:
        """That each replica asks Ray for: a NUMA node's; none where this machine alone has them, which they share."""
        return min(map(len, nodes())) if self.ray else 0


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Wrong ones raise Glm4Error, with the option of the command line that they come from."""

    models: tuple[Path, ...]
    """Model directories."""
    load: LoadOptions
    names: tuple[str, ...] = ()
    """Of the models, in their order; the rest have their directories' names."""
    host: str = "127.0.0.1"
    port: int = 8000
    api_key_file: Path | None = None
    no_auth: bool = False
    """Let other machines in without a key."""
    allowed_hosts: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    """Sites whose scripts may ask."""
    tls: tuple[Path, Path] | None = None
    """Certificate and key."""
    queue: int = 64
    max_body: int = 32
    """Megabytes."""
    max_tokens: int | None = None
    """New tokens of a reply."""
    patience: float = 120.0
    """Seconds of an engine's silence, with a reply to write, after which it is loaded again."""
    scoring: bool = False
    """Load each model a second time, for evaluations that ask how likely a text is."""
    drain: float = 60.0
    """Seconds that replies have to end when the server does."""
    replicas: ReplicaSettings | None = None
    """None is an engine in a process of this machine's, without Ray."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise Glm4Error(f"--port {self.port} is no port", "Give one from 1 to 65535.")
        for option, value in (("--queue", self.queue), ("--max-body", self.max_body), ("--patience", self.patience),
                              ("--max-tokens", 1 if self.max_tokens is None else self.max_tokens)):  # fmt: skip
            if value < 1:
                raise Glm4Error(f"{option} is {value}", "Give 1 or more.")
        if wrong := [origin for origin in self.cors if Authority.of_origin(origin) is None]:
            raise Glm4Error(f"--cors {wrong[0]} is no site", "Give it as browsers do: https://chat.example.org")
        if len(self.names) > max(1, len(self.models)):
            raise Glm4Error(f"--name {self.names[-1]} names no model", "Give one for each model at most.")
        if self.scoring and self.replicas:
            raise Glm4Error("--scoring and --replicas exclude each other", "Score texts with a server of one engine.")
        if self.load.adapters and len(self.models) > 1:
            raise Glm4Error("--adapter is for one model", "Serve the others apart.")
        if not is_local(self.host) and not self.api_key_file and not self.no_auth:
            raise Glm4Error(
                f"--host {self.host} lets other machines in without a key",
                "Give --api-key-file FILE, or say --no-auth.",
            )
