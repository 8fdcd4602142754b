"""What people are asked about a node that was given up, and what they said.

Owner: services/recovery; stream: the execution id. Beside these, an attempt that is held for
people is asked about with `recovery.attempt-parked.v1`.
"""

from typing import Literal, TypeAlias

from .asking import RequestInteraction
from .failures import Explanation
from .message import message

Said: TypeAlias = Literal["retry", "give_up", "nothing", "withdrawn"]
"""What came of a question: an answer, none in time, or nobody wants one any more."""


@message("recovery.question-asked.v1")
class QuestionAsked:
    """An execution has ended by a failure that nothing automatic helps; people are asked.

    `attempt_id` is the decision that gave the node up.
    """

    attempt_id: str
    failure_id: str
    until: str
    asked_at: str
    request: RequestInteraction
    explanation: Explanation


@message("recovery.question-settled.v1")
class QuestionSettled:
    """What came of a question. After `retry` the execution goes on at the node.

    `reopens` is the episode that goes on then.
    """

    attempt_id: str
    interaction_id: str
    said: Said
    by: str
    reason: str
    settled_at: str
    explanation: Explanation
    reopens: str = ""


QuestionEvent: TypeAlias = QuestionAsked | QuestionSettled
