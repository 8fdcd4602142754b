"""What the name of an exception class says, for the libraries that nodes meet.

Read from the exports of httpx, httpx2, asyncpg, aiosmtplib, aiokafka, json, pydantic, openai,
anthropic, slack-sdk, pydantic-ai and the built-ins, and of those in classification_beside.py; a
test walks through all of them, so that a new release cannot bring a class nobody thought of.
A class that says nothing about the cause is listed as generic, on purpose.
"""

from typing import Final

from perdure_contracts.patterns import FailureType

from .classification_beside import BESIDE

GENERIC: Final = "generic"
"""The class says nothing: codes, statuses, causes and texts must."""
NO_ERROR: Final = "no error"
"""The class is no failure (a warning, a signal of control flow); treated as generic."""

_BUILTINS = {
    "timeout": "TimeoutError",
    "network": "ConnectionError BrokenPipeError ConnectionAbortedError ConnectionRefusedError "
    "ConnectionResetError EOFError",
    "permission": "PermissionError",
    "data_missing": "FileNotFoundError",
    "validation": "FileExistsError IsADirectoryError NotADirectoryError UnicodeError "
    "UnicodeDecodeError UnicodeEncodeError UnicodeTranslateError",
    "resource_exhausted": "MemoryError BlockingIOError",
    "tool_error": "ChildProcessError ProcessLookupError",
    "cancelled": "KeyboardInterrupt InterruptedError",
    "worker_lost": "SystemExit",
    "code_bug": "ArithmeticError AssertionError AttributeError BufferError FloatingPointError "
    "ImportError IndentationError IndexError KeyError LookupError ModuleNotFoundError NameError "
    "NotImplementedError OverflowError RecursionError ReferenceError StopAsyncIteration "
    "StopIteration SyntaxError SystemError TabError TypeError UnboundLocalError ValueError "
    "ZeroDivisionError",
    GENERIC: "BaseException Exception OSError RuntimeError BaseExceptionGroup ExceptionGroup",
    NO_ERROR: "GeneratorExit Warning BytesWarning DeprecationWarning EncodingWarning FutureWarning "
    "ImportWarning PendingDeprecationWarning ResourceWarning RuntimeWarning SyntaxWarning "
    "UnicodeWarning UserWarning",
}
_ASYNCIO = {
    "cancelled": "CancelledError",
    "network": "IncompleteReadError",
    "output_invalid": "LimitOverrunError",
    "code_bug": "InvalidStateError SendfileNotAvailableError BrokenBarrierError",
    "resource_exhausted": "QueueEmpty QueueFull",
}
_SOCKET = {"network": "gaierror herror", "timeout": "timeout"}
_SSL = {
    "auth": "SSLCertVerificationError CertificateError",
    "network": "SSLError SSLEOFError SSLSyscallError SSLWantReadError SSLWantWriteError "
    "SSLZeroReturnError",
}
_JSON = {"output_invalid": "JSONDecodeError"}
_HTTPX = {
    "timeout": "TimeoutException ConnectTimeout ReadTimeout WriteTimeout",
    "network": "NetworkError ConnectError ReadError WriteError CloseError ProxyError "
    "ProtocolError RemoteProtocolError",
    "resource_exhausted": "PoolTimeout",
    "validation": "InvalidURL UnsupportedProtocol LocalProtocolError TooManyRedirects",
    "output_invalid": "DecodingError",
    "code_bug": "CookieConflict RequestNotRead ResponseNotRead StreamClosed StreamConsumed "
    "StreamError",
    GENERIC: "HTTPError HTTPStatusError RequestError TransportError",
}
_HTTPCORE = {
    "timeout": "TimeoutException ConnectTimeout ReadTimeout WriteTimeout",
    "network": "NetworkError ConnectError ReadError WriteError ProxyError ProtocolError "
    "RemoteProtocolError ConnectionNotAvailable",
    "resource_exhausted": "PoolTimeout",
    "validation": "UnsupportedProtocol LocalProtocolError",
}
_ASYNCPG = {  # by the base class of each SQLSTATE class; the state itself is asked first
    "network": "PostgresConnectionError ProtocolError StatementCompletionUnknownError "
    "TransactionResolutionUnknownError",
    "dependency_down": "OperatorInterventionError PostgresSystemError InternalServerError "
    "TooManyConnectionsError ConfigurationLimitExceededError ReadOnlySQLTransactionError "
    "ObjectInUseError TargetServerAttributeNotMatched CannotConnectNowError ConfigFileError "
    "ConnectionRejectionError OutdatedSchemaCacheError FDWUnableToEstablishConnectionError",
    "timeout": "IdleInTransactionSessionTimeoutError IdleSessionTimeoutError "
    "TransactionTimeoutError QueryCanceledError",
    "auth": "InvalidAuthorizationSpecificationError",
    "permission": "InsufficientPrivilegeError InvalidGrantorError "
    "DependentPrivilegeDescriptorsStillExistError InvalidRoleSpecificationError",
    "conflict": "SerializationError DeadlockDetectedError LockNotAvailableError",
    "validation": "DataError IntegrityConstraintViolationError WithCheckOptionViolationError "
    "RaiseError TransactionIntegrityConstraintViolationError TooManyRowsError CaseNotFoundError "
    "CardinalityViolationError ClientConfigurationError",
    "data_missing": "InvalidCatalogNameError InvalidSchemaNameError NoDataFoundError NoData "
    "DatabaseDroppedError",
    "resource_exhausted": "InsufficientResourcesError SnapshotTooOldError "
    "ProgramLimitExceededError",
    "code_bug": "SyntaxOrAccessError SQLStatementNotYetCompleteError TriggeredActionError "
    "FeatureNotSupportedError InvalidTransactionInitiationError LocatorError DiagnosticsError "
    "InvalidArgumentForXqueryError InvalidCursorStateError InvalidTransactionStateError "
    "InvalidSQLStatementNameError TriggeredDataChangeViolationError "
    "InvalidTransactionTerminationError SQLRoutineError InvalidCursorNameError "
    "ExternalRoutineError ExternalRoutineInvocationError SavepointError FDWError PLPGSQLError "
    "ObjectNotInPrerequisiteStateError TransactionRollbackError InternalClientError "
    "UnsupportedClientFeatureError UnsupportedServerFeatureError ProtocolViolationError",
    GENERIC: "PostgresError PostgresMessage FatalPostgresError UnknownPostgresError "
    "InterfaceError InterfaceMessage",
    NO_ERROR: "PostgresWarning PostgresLogMessage InterfaceWarning",
}
_AIOSMTPLIB = {  # a reply's code says more: smtp_535
    "timeout": "SMTPTimeoutError SMTPConnectTimeoutError SMTPReadTimeoutError",
    "network": "SMTPServerDisconnected SMTPConnectError",
    "auth": "SMTPAuthenticationError",
    "validation": "SMTPRecipientRefused SMTPRecipientsRefused SMTPNotSupported",
    "permission": "SMTPSenderRefused",
    "dependency_down": "SMTPConnectResponseError SMTPHeloError",
    GENERIC: "SMTPException SMTPResponseException SMTPDataError",
}
_AIOKAFKA = {
    "timeout": "KafkaTimeoutError RequestTimedOutError",
    "network": "KafkaConnectionError NodeNotReadyError StaleMetadata NoBrokersAvailable "
    "MetadataEmptyBrokerList CorrelationIdError KafkaProtocolError",
    "dependency_down": "KafkaUnavailableError BrokerNotAvailableError LeaderNotAvailableError "
    "NotLeaderForPartitionError ReplicaNotAvailableError GroupLoadInProgressError "
    "GroupCoordinatorNotAvailableError NotCoordinatorForGroupError NotEnoughReplicasError "
    "NotEnoughReplicasAfterAppendError NotControllerError KafkaStorageError LogDirNotFound "
    "RebalanceInProgressError ReassignmentInProgress ConcurrentTransactions ListenerNotFound "
    "StaleControllerEpochError StaleLeaderEpochCodeError UnknownError FetchSessionIdNotFound "
    "InvalidFetchSessionEpoch OperationNotAttempted MemberIdRequired",
    "rate_limit": "QuotaViolationError TooManyInFlightRequests",
    "auth": "AuthenticationFailedError AuthenticationMethodNotSupported SaslAuthenticationFailed "
    "UnsupportedSaslMechanismError IllegalSaslStateError SecurityDisabled "
    "DelegationTokenExpired DelegationTokenNotFound DelegationTokenAuthDisabled",
    "permission": "TopicAuthorizationFailedError GroupAuthorizationFailedError "
    "ClusterAuthorizationFailedError TransactionalIdAuthorizationFailed PolicyViolationError "
    "DelegationTokenAuthorizationFailed DelegationTokenOwnerMismatch "
    "DelegationTokenRequestNotAllowed InvalidPrincipalType",
    "conflict": "CommitFailedError IllegalGenerationError UnknownMemberIdError ProducerFenced "
    "InvalidProducerEpoch TransactionCoordinatorFenced OutOfOrderSequenceNumber "
    "DuplicateSequenceNumber",
    "data_missing": "UnknownTopicOrPartitionError OffsetOutOfRangeError NoOffsetForPartitionError "
    "GroupIdNotFound UnknownProducerId InvalidProducerIdMapping",
    "validation": "InvalidTopicError InvalidGroupIdError MessageSizeTooLargeError "
    "RecordTooLargeError RecordListTooLargeError OffsetMetadataTooLargeError InvalidTimestampError "
    "InvalidRequiredAcksError InvalidSessionTimeoutError InvalidCommitOffsetSizeError "
    "InvalidPartitionsError InvalidReplicationFactorError InvalidReplicationAssignmentError "
    "InvalidConfigurationError InvalidTransactionTimeout KafkaConfigurationError "
    "TopicAlreadyExistsError NonEmptyGroup InconsistentGroupProtocolError",
    "output_invalid": "CorruptRecordException",
    "cancelled": "Cancelled ConsumerStoppedError ProducerClosed",
    "code_bug": "IllegalStateError IllegalArgumentError IllegalOperation InvalidRequestError "
    "InvalidFetchRequestError InvalidTxnState UnsupportedCodecError UnsupportedVersionError "
    "UnsupportedForMessageFormatError UnrecognizedBrokerVersion IncompatibleBrokerVersion",
    GENERIC: "KafkaError BrokerResponseError",
    NO_ERROR: "NoError",
}
_PYDANTIC = {
    "validation": "ValidationError",
    "code_bug": "PydanticUserError PydanticUndefinedAnnotation PydanticImportError "
    "PydanticSchemaGenerationError PydanticInvalidForJsonSchema PydanticForbiddenQualifier",
    NO_ERROR: "PydanticDeprecationWarning PydanticExperimentalWarning ArbitraryTypeWarning "
    "GenericBeforeBaseModelWarning UnsupportedFieldAttributeWarning CoreSchemaGenerationWarning "
    "TypedDictExtraConfigWarning",
}
_PYDANTIC_CORE = {
    "validation": "ValidationError PydanticCustomError PydanticKnownError",
    "output_invalid": "PydanticSerializationError PydanticSerializationUnexpectedValue",
    "code_bug": "SchemaError",
    NO_ERROR: "PydanticOmit PydanticUseDefault",
}
_MODELS = {  # what openai and anthropic name alike
    "timeout": "APITimeoutError",
    "network": "APIConnectionError",
    "auth": "AuthenticationError",
    "data_missing": "NotFoundError",
    "dependency_down": "InternalServerError",
    "output_invalid": "APIResponseValidationError",
    GENERIC: "APIError APIStatusError ConflictError",
}
_MODELS_WEAK = {
    "validation": "BadRequestError UnprocessableEntityError",
    "permission": "PermissionDeniedError",
    "rate_limit": "RateLimitError",
}
_OPENAI = {
    "auth": "OAuthError SubjectTokenProviderError InvalidWebhookSignatureError",
    "network": "WebSocketConnectionClosedError",
    "resource_exhausted": "WebSocketQueueFullError",
    "output_invalid": "LengthFinishReasonError",
    "model_refusal": "ContentFilterFinishReasonError",
    "code_bug": "_AmbiguousModuleClientUsageError",
    GENERIC: "OpenAIError",
}
_ANTHROPIC = {  # the spend limits are subclasses of RateLimitError
    "quota_exhausted": "ContractSpendLimitReachedError EnforcedSpendLimitReachedError "
    "LinkedOrganizationSpendLimitReachedError LinkedOrganizationBillingUnavailableError "
    "PaymentRequiredError",
    "rate_limit": "RampLimitExceededError",
    "timeout": "DeadlineExceededError GatewayTimeoutError RequestTimeoutError",
    "dependency_down": "ServiceUnavailableError OverloadedError CMEKContextUnavailableError "
    "CMEKKeyUnreachableError",
    "auth": "CredentialsError IdentityTokenFileError WorkloadIdentityError",
    "permission": "CMEKKeyDisabledError CMEKKeyNetworkBlockedError OrganizationOnHoldError "
    "OrganizationTypeNotSupportedError ParentOrganizationRequiredError "
    "SandboxEgressRestrictedError WorkspaceHumanReviewDisabledError "
    "ClaudeCodeKeyCreatorNotMemberError",
    "validation": "APIWebhookValidationError ClaudeCodeVersionTooOldError "
    "HTTPNotImplementedError RequestBodyEncodingInvalidError RequestBodyEncodingUnsupportedError "
    "RequestBodyTooLargeAfterDecodingError RequestHeaderFieldsTooLargeError",
    "cancelled": "ClientClosedRequestError",
    GENERIC: "AnthropicError PreconditionFailedError RetryableError",
}
_ANTHROPIC_WEAK = {"validation": "RequestTooLargeError ContentTooLargeError"}
_SLACK = {  # the code in the answer says more: channel_not_found
    "auth": "SlackTokenRotationError",
    "permission": "BotUserAccessError",
    "network": "SlackClientNotConnectedError",
    "validation": "SlackRequestError SlackClientConfigurationError",
    "code_bug": "SlackObjectFormationError",
    GENERIC: "SlackApiError SlackClientError",
}
_PYDANTIC_AI = {
    "quota_exhausted": "ModelQuotaExceededError",
    "timeout": "ModelTimeoutError ModelRequestTimeout RunTimedOut",
    "network": "ModelConnectionError",
    "dependency_down": "ModelUnavailableError ModelOverloadedError ModelServerError",
    "auth": "ModelAuthenticationError",
    "context_length": "ModelContextWindowExceededError",
    "model_refusal": "ContentFilterError",
    "output_invalid": "UnexpectedModelBehavior IncompleteToolCall OutputTokenLimitExceeded",
    "tool_error": "ToolFailed ToolFailedError ToolRetryError ModelRetry",
    "resource_exhausted": "ConcurrencyLimitExceeded UsageLimitExceeded",
    "data_missing": "ModelNotFoundError SuspendedResponseExpired",
    "code_bug": "UserError UndrainedPendingMessagesError",
    "cancelled": "RunCancelled",
    GENERIC: "AgentRunError ModelAPIError ModelHTTPError _CategorizedHTTPError "
    "FallbackExceptionGroup",
    NO_ERROR: "ApprovalRequired CallDeferred RetryModelRequest SkipModelRequest "
    "SkipToolExecution SkipToolValidation CostCalculationFailedWarning CostNotFoundWarning "
    "PydanticAIDeprecationWarning UsageExtractionFailedWarning UsageLimitUnavailableWarning "
    "MessageHistoryMutatedWarning UnsupportedSettingWarning",
}
_PYDANTIC_AI_WEAK = {"rate_limit": "ModelRateLimitError", "validation": "ModelRequestRejectedError"}

_PACKAGES: dict[str, tuple[dict[str, str], ...]] = {
    "builtins": (_BUILTINS,),
    "asyncio": (_ASYNCIO,),
    "socket": (_SOCKET,),
    "ssl": (_SSL,),
    "json": (_JSON,),
    "httpx": (_HTTPX,),
    "httpcore": (_HTTPCORE,),
    "httpx2": (_HTTPX, {"output_invalid": "SSEError"}),  # what the libraries of models call with
    "httpcore2": (_HTTPCORE,),
    "asyncpg": (_ASYNCPG,),
    "aiokafka": (_AIOKAFKA,),
    "aiosmtplib": (_AIOSMTPLIB,),
    "pydantic": (_PYDANTIC,),
    "pydantic_core": (_PYDANTIC_CORE,),
    "openai": (_MODELS, _OPENAI),
    "anthropic": (_MODELS, _ANTHROPIC),
    "slack_sdk": (_SLACK,),
    "pydantic_ai": (_PYDANTIC_AI,),
}
_PACKAGES_WEAK: dict[str, tuple[dict[str, str], ...]] = {
    "openai": (_MODELS_WEAK,),
    "anthropic": (_MODELS_WEAK, _ANTHROPIC_WEAK),
    "pydantic_ai": (_PYDANTIC_AI_WEAK,),
}


def _table(packages: dict[str, tuple[dict[str, str], ...]]) -> dict[tuple[str, str], str]:
    return {
        (package, name): says
        for package, tables in packages.items()
        for rows in tables
        for says, names in rows.items()
        for name in names.split()
    }


CLASSES: Final = _table({**BESIDE, **_PACKAGES})
"""(top-level package, class) → a failure type, `generic` or `no error`."""
CLASSES_WEAK: Final = _table(_PACKAGES_WEAK)
"""Classes that only mirror a broad status: they answer if nothing else does."""

ROOT_CAUSE: Final[dict[FailureType, str]] = {
    "rate_limit": "provider",
    "quota_exhausted": "provider",
    "timeout": "provider",
    "network": "network",
    "dependency_down": "provider",
    "auth": "credentials",
    "permission": "configuration",
    "validation": "input",
    "context_length": "input",
    "model_refusal": "model",
    "output_invalid": "model",
    "tool_error": "provider",
    "resource_exhausted": "capacity",
    "conflict": "provider",
    "data_missing": "configuration",
    "worker_lost": "platform",
    "code_bug": "code",
    "cancelled": "platform",
    "unknown": "platform",
}
"""Where the cause usually lies, by type (the column root_cause_category)."""
