"""What the listener works with."""

from dataclasses import dataclass

from perdure_scheduler.hook_settings import HookCaps

from .answers import Answers
from .files import Files
from .limits import Rates
from .metrics import HookMetrics
from .receipts import Intake
from .routes import Routes
from .secrets import Secrets
from .store import HookStore
from .trials import Trials


@dataclass(frozen=True)
class Tools:
    """What the listener works with."""

    tenant_id: str
    store: HookStore
    routes: Routes
    secrets: Secrets
    rates: Rates
    intake: Intake
    answers: Answers
    trials: Trials
    files: Files
    metrics: HookMetrics
    bytes_max: int
    caps: HookCaps
    public_url: str
    bodies_url: str
