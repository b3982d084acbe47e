"""Upload of a model directory to the Hugging Face hub."""

from pathlib import Path

from glm4_intel import model_directory
from glm4_intel.errors import Glm4Error


def push(directory: Path, repository: str) -> None:
    """Create the repository if need be, private, and upload the directory. Raises Glm4Error saying why it can't."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    model_directory.read(directory)
    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=directory, commit_message="Exported by glm4-intel")
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Glm4Error(
            f"{directory} is ready, but can't be uploaded to {repository}: {reason}",
            f"Log in (hf auth login) and run: hf upload {repository} {directory}",
        ) from error
