"""Upload of a model directory to the Hugging Face hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glm4_intel import model_directory
from glm4_intel.errors import Glm4Error

from ..checkpoint.hub import network_errors


def require_login(repository: str) -> None:
    """Raises Glm4Error, before any work, where nobody is logged in who may write to that repository."""
    from huggingface_hub import HfApi

    hint = "Log in with a token that may write: hf auth login"
    with _explained(f"Nothing could be uploaded to {repository}", hint):
        account = HfApi().whoami()
    owner, slash, name = repository.partition("/")
    if not (owner and slash and name):
        raise Glm4Error(f"{repository} is no repository's name", "Give OWNER/NAME.")
    owners = [account["name"], *(each["name"] for each in account.get("orgs", ()))]
    if owner not in owners:
        raise Glm4Error(
            f"{account['name']}, who is logged in, can't upload for {owner}", f"Owners: {', '.join(owners)}."
        )
    if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise Glm4Error(f"The token of {account['name']} may only read", hint)


def push(directory: Path, repository: str) -> None:
    """Create the repository if need be, private, and upload the directory. Raises Glm4Error saying why it can't."""
    from huggingface_hub import HfApi

    model_directory.read(directory)
    api = HfApi()
    hint = f"Log in (hf auth login) and run: hf upload {repository} {directory}"
    with _explained(f"{directory} is ready, but can't be uploaded to {repository}", hint):
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=directory, commit_message="Exported by glm4-intel")


@contextmanager
def _explained(what: str, hint: str) -> Iterator[None]:
    """Whatever the hub's client raises, as one line."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    known = (HfHubHTTPError, HFValidationError, OSError, RuntimeError, *network_errors())
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise Glm4Error(f"{what}: nobody is logged in to the hub", hint) from error
    except known as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Glm4Error(f"{what}: {reason}", hint) from error
