"""What codes, SQLSTATEs, statuses and words say about a failure.

Provider codes are those of the HTTP APIs of OpenAI, Anthropic, Google, Slack, GitHub and AWS,
and `smtp_` with the replies of RFC 5321;
SQLSTATEs are in the PostgreSQL manual, appendix A; statuses in RFC 9110 and RFC 6585.
"""

import re
from typing import Final, get_args

from perdure_contracts.patterns import FailureType


def _by_word(rows: dict[FailureType, str]) -> dict[str, FailureType]:
    return {word: failure_type for failure_type, words in rows.items() for word in words.split()}


ENGINE_CODES: Final = _by_word(
    {
        "timeout": "memory_timeout "
        "connect_timeout read_timeout write_timeout attempt_timeout node_timeout "
        "execution_timeout",
        "network": "connect_failed tls_failed dns_failed connection_reset connection_closed "
        "protocol_error",
        "data_missing": "name_not_found workflow_not_found missing_input node_not_found "
        "version_not_found trigger_not_found database_not_known server_not_known "
        "file_not_found file_gone",
        "permission": "address_refused",
        "resource_exhausted": "response_too_large payload_too_large max_iterations pool_timeout "
        "too_many_items fuel_exhausted expression_fuel input_too_large output_too_large "
        "sub_workflow_depth child_input_too_large child_result_too_large "
        "html_too_costly step_limit tool_call_limit token_limit cost_limit time_limit "
        "code_timeout code_memory file_too_large",
        "auth": "credential_not_found credential_unreadable credential_incomplete credentials_off",
        "tool_error": "effect_unknown interaction_failed memory_failed",
        "validation": "expression_type expression_range expression_size expression_output "
        "expression_depth expression_syntax expression_unknown expression_failed not_boolean "
        "condition_not_boolean invalid_url invalid_parameter invalid_parameters missing_parameter "
        "merge_needs_two_inputs compare_needs_two_inputs duplicate_rule_name stop_and_error "
        "node_type_not_supported "
        "not_a_list mixed_types not_a_number not_numeric invalid_input unsupported_protocol "
        "too_many_redirects invalid_csv invalid_xml unsafe_xml invalid_date invalid_zone "
        "invalid_encoding invalid_key data_too_deep price_unknown code_output code_not_allowed "
        "input_not_json output_not_json "
        "interaction_too_large memory_content_too_large invalid_wait invalid_response "
        "static_data_conflict static_data_too_large "
        "file_not_text file_not_json file_not_csv file_not_html "
        "invalid_sub_workflow sub_workflow_failed ambiguous_workflow",
        "output_invalid": "invalid_json response_invalid decoding_failed",
        "dependency_down": "breaker_open files_unreachable",
        "worker_lost": "lease_expired",
        "code_bug": "stalled internal_error code_failed code_crashed",
        "cancelled": "canceled",
    }
) | {kind: kind for kind in get_args(FailureType) if kind != "unknown"}
"""The engine's own typed codes; where it knows the failure type, that is the code.

`http_status`, `sql_failed`, `mail_refused` and `api_error` say nothing by themselves and are
not listed.
"""

OWN_LIMITS: Final = frozenset(
    {
        "max_iterations",
        "sub_workflow_depth",
        "child_input_too_large",
        "child_result_too_large",
        "execution_timeout",
        "file_too_large",
        "response_too_large",
        "payload_too_large",
        "too_many_items",
        "input_too_large",
        "output_too_large",
        "html_too_costly",
        "step_limit",
        "tool_call_limit",
        "token_limit",
        "cost_limit",
        "time_limit",
        "code_timeout",
        "code_memory",
        "fuel_exhausted",
        "expression_fuel",
    }
)
"""Limits that the workflow's author or operator set: a person decides, never a retry."""

NOT_OVERRIDDEN: Final = OWN_LIMITS | {
    *("effect_unknown", "lease_expired", "worker_lost", "stalled", "canceled", "cancelled"),
    "breaker_open",
}
"""What the platform says of a node whatever its author says: it is not the node that failed so."""

CODES: Final = _by_word(
    {
        "rate_limit": "rate_limit_exceeded ratelimited rate_limited too_many_requests "
        "slow_down SlowDown Throttling ThrottlingException RequestLimitExceeded rateLimitExceeded "
        "userRateLimitExceeded RATE_LIMIT_EXCEEDED tokens requests smtp_450",
        "quota_exhausted": "insufficient_quota billing_hard_limit_reached billing_not_active "
        "usage_limit_exceeded project_spend_limit_exceeded "
        "organization_spend_limit_exceeded organization_usage_limit_exceeded "
        "credit_balance_exhausted "
        "quotaExceeded dailyLimitExceeded billing_error BILLING_DISABLED spend_limit_exceeded",
        "timeout": "timeout_error vector_store_timeout DEADLINE_EXCEEDED request_timeout "
        "RequestTimeout",
        "dependency_down": "overloaded_error server_error server_overloaded UNAVAILABLE "
        "service_unavailable ServiceUnavailable internal_error INTERNAL fatal_error backendError "
        "InternalError engine_overloaded flex_unavailable bad_gateway smtp_421 smtp_451 smtp_454",
        "auth": "invalid_api_key authentication_error invalid_auth not_authed token_expired "
        "token_revoked account_inactive UNAUTHENTICATED expired_token ExpiredToken "
        "InvalidAccessKeyId SignatureDoesNotMatch invalid_grant invalid_token API_KEY_INVALID "
        "authError smtp_530 smtp_534 smtp_535 smtp_538",
        "permission": "permission_error permission_denied PERMISSION_DENIED missing_scope "
        "not_allowed_token_type access_denied AccessDenied insufficient_permissions forbidden "
        "data_residency_mismatch insufficientPermissions not_in_channel restricted_action "
        "insufficient_scope "
        "cant_update_message ekm_access_denied smtp_554",
        "context_length": "context_length_exceeded string_above_max_length request_too_large "
        "max_tokens_exceeded",
        "model_refusal": "invalid_prompt bio_policy cyber_policy misalignment_policy_violation "
        "image_content_policy_violation content_policy_violation content_filter "
        "ResponsibleAIPolicyViolation "
        "refusal moderation_blocked SAFETY",
        "data_missing": "resource_not_found image_file_not_found failed_to_download_image "
        "not_found not_found_error model_not_found channel_not_found "
        "user_not_found NOT_FOUND NoSuchKey NoSuchBucket ResourceNotFoundException notFound "
        "message_not_found missing smtp_551",
        "validation": "invalid_image invalid_image_format invalid_base64_image invalid_image_url "
        "image_too_large image_too_small image_parse_error invalid_image_mode "
        "image_file_too_large unsupported_image_media_type empty_image_file "
        "executor_version_incompatible active_turn_not_steerable memory_path_conflict_error "
        "invalid_value missing_required_parameter unsupported_value "
        "unsupported_parameter invalid_arguments invalid_blocks msg_too_long "
        "ValidationException invalidArgument unprocessable_entity OUT_OF_RANGE "
        "FAILED_PRECONDITION invalid_json_schema is_archived no_text missing_field already_exists "
        "timeRangeEmpty smtp_500 smtp_501 smtp_502 smtp_503 smtp_504 smtp_550 smtp_553 smtp_555",
        "resource_exhausted": "smtp_452 smtp_552",
        "network": "connection_failed",
        "output_invalid": "max_output_tokens",
        "tool_error": "sandbox_error",
        "conflict": "memory_precondition_failed_error ABORTED version_conflict edit_conflict "
        "ConditionalCheckFailedException "
        "OptimisticLockException",
        "cancelled": "CANCELLED",
    }
)
"""What the other side called it, most specific first in the failure's list."""

CODES_WEAK: Final[dict[str, FailureType]] = {
    "rate_limit_error": "rate_limit",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "invalid_request_error": "validation",
    "invalid_request": "validation",
    "conflict_error": "validation",
    "INVALID_ARGUMENT": "validation",
    "api_error": "dependency_down",
}
"""Broad codes: messages refine them, and they answer only if nothing else does."""

SQLSTATES: Final[dict[str, FailureType]] = {
    "08004": "dependency_down",
    "08P01": "code_bug",
    "23505": "validation",
    "25006": "dependency_down",  # read only: the primary moved
    "25P03": "timeout",
    "25P04": "timeout",
    "40001": "conflict",
    "40P01": "conflict",
    "40002": "validation",
    "40003": "network",  # whether the statement was completed is unknown
    "42501": "permission",
    "53300": "dependency_down",
    "53400": "dependency_down",
    "55006": "dependency_down",
    "55P03": "conflict",
    "57014": "timeout",
    "57P04": "data_missing",
    "57P05": "timeout",
    "HV00N": "dependency_down",
    "P0001": "validation",
    "P0002": "data_missing",
    "P0003": "validation",
}
SQLSTATE_CLASSES: Final[dict[str, FailureType]] = {
    "02": "data_missing",
    "08": "network",
    "0L": "permission",
    "0P": "permission",
    "20": "validation",
    "21": "validation",
    "22": "validation",
    "23": "validation",
    "28": "auth",
    "2B": "permission",
    "3D": "data_missing",
    "3F": "data_missing",
    "44": "validation",
    "53": "resource_exhausted",
    "54": "resource_exhausted",
    "57": "dependency_down",
    "58": "dependency_down",
    "72": "resource_exhausted",
    "F0": "dependency_down",
    "XX": "dependency_down",
}
"""By the first two characters; states found in neither table are code_bug."""

STATUSES: Final[dict[int, FailureType]] = {
    401: "auth",
    402: "quota_exhausted",
    404: "data_missing",
    407: "auth",
    408: "timeout",
    410: "data_missing",
    424: "dependency_down",
    425: "dependency_down",
    451: "permission",
    501: "validation",
    504: "timeout",
    505: "validation",
    511: "auth",
    522: "timeout",
    524: "timeout",
}
"""The rest of 3xx and 4xx is validation, of 5xx dependency_down."""
STATUSES_WEAK: Final[dict[int, FailureType]] = {
    400: "validation",
    403: "permission",
    413: "validation",
    429: "rate_limit",
}
VERSIONED_STATUSES: Final = frozenset({409, 412})
"""conflict if the failure speaks of a version, else validation."""

_PATTERNS: tuple[tuple[str, FailureType, str], ...] = (
    (
        "context",
        "context_length",
        r"prompt is too long|maximum context length|context (?:window|length)|too many tokens"
        r"|input is too long|exceeds? the (?:model'?s )?(?:token|context) limit",
    ),
    (
        "quota",
        "quota_exhausted",
        r"credit balance is too low|insufficient quota|exceeded your current quota|spend(?:ing)? "
        r"limit|hard limit|(?:monthly|daily) (?:quota|limit) (?:is |was )?(?:exceed|reach)ed"
        r"|out of credits|payment required",
    ),
    (
        "throttled",
        "rate_limit",
        r"rate.?limit|too many requests|throttl|slow down|requests per (?:second|minute|hour)"
        r"|abuse detection",
    ),
    ("refusal", "model_refusal", r"content (?:policy|filter|management)|safety system|was flagged"),
    (
        "certificate",
        "auth",
        r"certificate (?:verify failed|has expired|is not valid)|self.signed cert",
    ),
    (
        "credentials",
        "auth",
        r"(?:invalid|incorrect|expired|bad|missing) (?:api.?key|credentials?|token|access token)"
        r"|unauthori[sz]ed|authentication (?:failed|required)|login required"
        r"|token (?:has |is )?(?:expired|revoked)",
    ),
    (
        "permission",
        "permission",
        r"permission denied|forbidden|not (?:authori[sz]ed|allowed|permitted) to"
        r"|access (?:is )?denied|insufficient (?:scope|permission|privilege)|must be owner of",
    ),
    (
        "temporary name",
        "network",
        r"temporary failure in name resolution|eai_again|try again later \(dns\)",
    ),
    (
        "unknown name",
        "data_missing",
        r"name or service not known|nodename nor servname|no address associated|nxdomain"
        r"|getaddrinfo failed|could not resolve host|could not translate host name",
    ),
    (
        "memory",
        "resource_exhausted",
        r"out of memory|cannot allocate memory|unable to allocate|no space left|disk (?:is )?full"
        r"|too many open files|oom.?killed|exceeded .{0,20}memory",
    ),
    (
        "version",
        "conflict",
        r"version (?:conflict|mismatch)|etag mismatch|serialize access|serialization failure"
        r"|deadlock detected|could not obtain lock|was modified by another|concurrent update",
    ),
    (
        "starting",
        "dependency_down",
        r"service (?:is )?unavailable|bad gateway|overloaded|temporarily unavailable"
        r"|under maintenance|(?:starting up|shutting down|recovery mode)|internal server error"
        r"|server (?:had an )?error|no healthy upstream|circuit.?breaker",
    ),
    (
        "time",
        "timeout",
        r"time[ds]?.?out|deadline exceeded|took too long|did not (?:answer|respond)",
    ),
    (
        "connection",
        "network",
        r"connection (?:was |is |has been )?(?:reset|refused|aborted|closed|lost|broken|error)"
        r"|broken pipe|network is (?:unreachable|down)|no route to host|unexpected eof|eof occurred"
        r"|server disconnected|peer closed|socket hang ?up|econnre(?:set|fused)|handshake fail"
        r"|all connection attempts failed",
    ),
    (
        "lost",
        "worker_lost",
        r"worker (?:was |is )?lost|worker .{0,40}sigkill|lease (?:has )?expired|process was killed",
    ),
    (
        "stopped",
        "cancelled",
        r"cancel+ed (?:by|due to user|on user)|due to user request|aborted by",
    ),
    (
        "unreadable",
        "output_invalid",
        r"invalid json|expecting value|unterminated string|malformed (?:json|response|output)"
        r"|unexpected (?:token|end of (?:json|input))|could not (?:parse|decode)|not valid json",
    ),
    (
        "missing",
        "data_missing",
        r"not found|no such (?:file|table|column|key|bucket|user|host|model)|does(?: not|n't) exist"
        r"|unknown (?:model|table|column|user|channel|host)",
    ),
    (
        "tool",
        "tool_error",
        r"tool (?:call |execution )?(?:failed|error)|exit(?:ed with)? (?:code|status)",
    ),
    (
        "input",
        "validation",
        r"is (?:required|mandatory|invalid|not valid)|must (?:be|have|not|contain|match)"
        r"|invalid (?:value|parameter|argument|request|input|type|format|url)|validation error"
        r"|violates .{0,40}constraint|expected .{1,40} but|out of range|bad request",
    ),
)
PATTERNS: Final[tuple[tuple[str, FailureType, re.Pattern[str]], ...]] = tuple(
    (f"message:{name}", failure_type, re.compile(pattern, re.IGNORECASE))
    for name, failure_type, pattern in _PATTERNS
)
"""Words of messages, most telling first: (rule id, type, pattern). All are linear."""
SHARPENING: Final = frozenset(
    {"message:certificate", "message:unknown name", "message:temporary name"}
)
"""Patterns that say more than `network` does."""
TEXT_MAX: Final = 8_192
"""Longest text that the patterns look at, in characters."""
