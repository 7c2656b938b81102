"""What goes wrong in ingestion and cost steps, as step errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.objects import ObjectsError
from libs.warehouse.errors import (
    JobFailedError,
    RowRejectedError,
    SchemaConflictError,
    UnavailableError,
)
from services.executor.focus.errors import FocusError
from services.executor.ingest.asking import SourceUnavailableError
from services.executor.ingest.errors import ChangedError, IngestError
from services.executor.ingest.slices import RowsLostError
from services.executor.steps.isolation import failed_job, unavailable
from services.executor.steps.step import StepError, StepRetryError, StepUnknownError


@contextmanager
def phrased() -> Iterator[None]:
    """Turns the errors of libraries and engines into `StepError`s of the right class."""
    try:
        yield
    except (SourceUnavailableError, ChangedError) as error:
        raise StepRetryError(error.code, str(error)) from error
    except (IngestError, FocusError) as error:
        raise StepError(error.code, str(error)) from error
    except (SchemaConflictError, RowRejectedError) as error:
        raise StepError("schema_conflict", str(error)) from error
    except RowsLostError as error:
        raise StepRetryError("rows_lost", str(error)) from error
    except JobFailedError as error:
        raise failed_job(error) from error
    except UnavailableError as error:
        raise unavailable(error) from error
    except ObjectsError as error:
        detail = "Cloud Storage is not available; nothing is lost, try again later"
        raise StepUnknownError("storage_unavailable", detail) from error
