"""What the exception classes say of the libraries with which nodes do not call others.

Readers and writers of formats, the schema's and the keys' libraries, what runs user code, and the
modules of the standard library that meet data. Joined with `classification_classes.py`, by the
same rules; the same test walks through them. What cannot be read is the input's fault.
"""

from typing import Final

GENERIC: Final = "generic"
NO_ERROR: Final = "no error"
"""As in classification_classes.py, which says what they mean."""

_EMAIL = {
    "validation": "MessageError MessageParseError HeaderParseError BoundaryError CharsetError "
    "MultipartConversionError HeaderWriteError MessageDefect HeaderDefect",
}
_DECIMAL = {
    "code_bug": "DecimalException InvalidOperation DivisionByZero Overflow Underflow Inexact "
    "Rounded Subnormal Clamped FloatOperation",
}
_MINI_RACER = {  # what runs JavaScript; its limits are the node's own
    "timeout": "JSTimeoutException",
    "resource_exhausted": "JSOOMException",
    "code_bug": "JSEvalException JSParseException JSPromiseError JSKeyError JSValueError "
    "JSArrayIndexError",
    "tool_error": "MiniRacerBaseException LibAlreadyInitializedError LibNotFoundError",
}

BESIDE: Final[dict[str, tuple[dict[str, str], ...]]] = {
    "jsonschema": (
        {
            "validation": "_Error ValidationError FormatError",
            "code_bug": "SchemaError UndefinedTypeCheck UnknownType",
            "data_missing": "_RefResolutionError _WrappedReferencingError",
        },
    ),
    "referencing": (
        {
            "data_missing": "NoSuchResource Unresolvable NoSuchAnchor PointerToNowhere "
            "Unretrievable CannotDetermineSpecification NoInternalID",
            "code_bug": "InvalidAnchor",
        },
    ),
    "yaml": ({"validation": "YAMLError MarkedYAMLError"},),
    "xmltodict": ({"cancelled": "ParsingInterrupted"},),
    "xml": (
        {
            "validation": "ExpatError ParseError SAXException",
            "code_bug": "SAXReaderNotAvailable",
        },
    ),
    "re2": ({"code_bug": "Error"},),
    "re": ({"code_bug": "error"},),
    "py_mini_racer": (_MINI_RACER,),
    "selectolax": ({"validation": "SelectolaxError"},),
    "cryptography": (
        {
            "validation": "InvalidSignature InvalidTag InvalidToken InvalidKey",
            "code_bug": "AlreadyFinalized AlreadyUpdated NotYetFinalized UnsupportedAlgorithm",
            GENERIC: "InternalError",
        },
    ),
    "msgspec": (
        {GENERIC: "MsgspecError", "validation": "DecodeError EncodeError ValidationError"},
    ),
    "orjson": ({"output_invalid": "JSONDecodeError", "code_bug": "JSONEncodeError"},),
    "perdure_expressions": ({"code_bug": "ExpressionError"},),
    "psutil": (
        {
            GENERIC: "Error",
            "permission": "AccessDenied",
            "tool_error": "NoSuchProcess ZombieProcess",
            "timeout": "TimeoutExpired",
        },
    ),
    "anyio": (
        {
            "network": "BrokenResourceError EndOfStream IncompleteRead ClosedResourceError "
            "ConnectionFailed",
            "output_invalid": "DelimiterNotFound",
            "resource_exhausted": "WouldBlock BusyResourceError",
            "worker_lost": "BrokenWorkerProcess BrokenWorkerInterpreter",
            "code_bug": "NoEventLoopError RunFinishedError TypedAttributeLookupError TaskFailed "
            "TaskCancelled TaskNotFinished",
        },
    ),
    "sniffio": ({"code_bug": "AsyncLibraryNotFoundError"},),
    "concurrent": (
        {
            GENERIC: "Error",
            "cancelled": "CancelledError",
            "code_bug": "InvalidStateError",
            "worker_lost": "BrokenExecutor BrokenThreadPool BrokenProcessPool",
        },
    ),
    "multiprocessing": (
        {
            GENERIC: "ProcessError",
            "auth": "AuthenticationError",
            "timeout": "TimeoutError",
            "code_bug": "BufferTooShort",
        },
    ),
    "subprocess": (
        {
            GENERIC: "SubprocessError",
            "tool_error": "CalledProcessError",
            "timeout": "TimeoutExpired",
        },
    ),
    "zlib": ({"validation": "error"},),
    "_lzma": ({"validation": "LZMAError"},),
    "gzip": ({"validation": "BadGzipFile"},),
    "zipfile": ({"validation": "BadZipFile LargeZipFile"},),
    "tarfile": ({"validation": "TarError"},),
    "binascii": ({"validation": "Error Incomplete"},),
    "_csv": ({"validation": "Error"},),
    "struct": ({"code_bug": "error"},),
    "email": (_EMAIL,),
    "decimal": (_DECIMAL,),
    "zoneinfo": ({"validation": "ZoneInfoNotFoundError", NO_ERROR: "InvalidTZPathWarning"},),
    "tomllib": ({"validation": "TOMLDecodeError"},),
    "configparser": ({"validation": "Error"},),
    "statistics": ({"code_bug": "StatisticsError"},),
    "_pickle": ({"validation": "PickleError"},),
    "_queue": ({"resource_exhausted": "Empty"},),
    "queue": ({"resource_exhausted": "Full"},),
    "shutil": (
        {
            GENERIC: "Error",
            "code_bug": "RegistryError SpecialFileError",
            "validation": "ReadError",
            "tool_error": "ExecError",
        },
    ),
    "urllib": (
        {
            GENERIC: "HTTPError",
            "network": "URLError",
            "output_invalid": "ContentTooShortError",
        },
    ),
    "http": (
        {
            GENERIC: "HTTPException",
            "network": "RemoteDisconnected IncompleteRead",
            "output_invalid": "BadStatusLine LineTooLong UnknownProtocol UnknownTransferEncoding "
            "CookieError",
            "validation": "InvalidURL",
            "code_bug": "ImproperConnectionState NotConnected UnimplementedFileMode "
            "CannotSendRequest CannotSendHeader ResponseNotReady",
        },
    ),
    "sqlite3": (
        {
            GENERIC: "Error DatabaseError OperationalError",
            "code_bug": "ProgrammingError InterfaceError NotSupportedError InternalError",
            "validation": "DataError IntegrityError",
            NO_ERROR: "Warning",
        },
    ),
}
"""Top-level package → its tables, as in classification_classes.py."""
