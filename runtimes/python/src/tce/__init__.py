"""The runtime of TCE: calls in both directions of one connection.

`Communicator` makes connections and adapters; `tce compile --lang python` generates
the proxies that call and the classes that servants extend. `spec/wire.md` describes
what goes over the wire.

The names below `RpcCommunicator` are the API of TCE's own Python programs, whose
calls block: see `tce.blocking`.
"""

from ._calls import Pending
from ._communicator import Communicator
from ._connection import Connection, Context
from ._endpoint import Endpoint, EndpointError
from ._errors import (
    CloseCode,
    DecodeError,
    ErrorCode,
    Fault,
    MarshalError,
    RpcError,
    Side,
    UserException,
)
from ._mq_config import ConfigError, MqConfig
from ._multi_call import MultiCall, MultiProxy, Replies, Reply
from ._options import CallRecord, ConnectionLimits, Limits, Options, TlsFiles
from ._proxy import Proxy
from ._servant import Servant
from .blocking import (
    BlockingProxy,
    RpcAdapterMQ,
    RpcCommAdapter,
    RpcCommunicator,
    RpcEndPoint,
    RpcException,
    Shortcuts,
    sleep,
)

__all__ = [
    "BlockingProxy",
    "CallRecord",
    "CloseCode",
    "Communicator",
    "ConfigError",
    "Connection",
    "ConnectionLimits",
    "Context",
    "DecodeError",
    "Endpoint",
    "EndpointError",
    "ErrorCode",
    "Fault",
    "Limits",
    "MarshalError",
    "MqConfig",
    "MultiCall",
    "MultiProxy",
    "Options",
    "Pending",
    "Proxy",
    "Replies",
    "Reply",
    "RpcAdapterMQ",
    "RpcCommAdapter",
    "RpcCommunicator",
    "RpcEndPoint",
    "RpcError",
    "RpcException",
    "Servant",
    "Shortcuts",
    "Side",
    "TlsFiles",
    "UserException",
    "sleep",
]
