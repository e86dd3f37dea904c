"""What generated code uses. Programs import from `tce`.

Generated modules import this one alone, under a name that no IDL declares.
"""

from abc import abstractmethod as abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass as dataclass
from dataclasses import field as field
from typing import Any as Any
from typing import Final as Final
from typing import TypeAlias as TypeAlias

from ._calls import Pending as Pending
from ._connection import Context as Context
from ._errors import UserException as UserException
from ._multi_call import MultiCall as MultiCall
from ._multi_call import MultiProxy as MultiProxy
from ._proxy import Proxy as Proxy
from ._servant import BlockingServant as BlockingServant
from ._servant import Interface as Interface
from ._servant import Operation as Operation
from ._servant import Servant as Servant
from ._servant import not_implemented as not_implemented
from ._values import BOOL as BOOL
from ._values import BYTE as BYTE
from ._values import BYTES as BYTES
from ._values import DOUBLE as DOUBLE
from ._values import FLOAT as FLOAT
from ._values import INT as INT
from ._values import LONG as LONG
from ._values import SHORT as SHORT
from ._values import STRING as STRING
from ._values import VOID as VOID
from ._values import Codec as Codec
from ._values import Enum as Enum
from ._values import ExceptionCodec as ExceptionCodec
from ._values import dictionary as dictionary
from ._values import enumeration as enumeration
from ._values import exception as exception
from ._values import sequence as sequence
from ._values import struct as struct
from .blocking import BlockingProxy as BlockingProxy
from .blocking import Callback as Callback
from .blocking import ErrorCallback as ErrorCallback

Extra: TypeAlias = Mapping[str, str] | None
"""The extra of a call."""


def empty_list() -> list[Any]:
    """The value of a sequence that is not given."""
    return []


def empty_dict() -> dict[Any, Any]:
    """The value of a dictionary that is not given."""
    return {}
