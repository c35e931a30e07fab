"""Bodies of requests, decoded once and strictly: ``"5"`` is no number and ``0`` is no boolean."""

from collections.abc import Callable, Generator
from typing import Any, ClassVar, TypeVar

import msgspec
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from pintext.server.problems import ProblemError

__all__ = ["JSONBody", "json_body"]

Shape = TypeVar("Shape", bound=msgspec.Struct)


class JSONBody(AbstractDTO[Any]):
    """What the framework calls to decode a body.

    Its own way decodes to plain objects and converts these, with leniency, in a second pass.
    """

    __slots__ = ()
    decoder: ClassVar[msgspec.json.Decoder[Any]]
    reword: ClassVar[Any]

    def decode_bytes(self, value: bytes) -> Any:
        """The request that a body holds; see :meth:`decode`."""
        return self.decode(value)

    @classmethod
    def decode(cls, value: bytes) -> Any:
        """The request that a body holds.

        Raises:
            ProblemError: 400: it is not JSON, or not of the form that is wanted; names the field.
        """
        if not value:
            raise ProblemError.of_field("$", "expected a JSON object, found no body")
        try:
            return cls.decoder.decode(value)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at `")
            place = place.rstrip("`") or "$"
            raise ProblemError.of_field(place, cls.reword(place, message)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProblemError(400, f"the body is not JSON: {error}") from None

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Nothing is prepared."""

    @classmethod
    def create_openapi_schema(
        cls,
        field_definition: FieldDefinition,
        handler_id: str,  # noqa: ARG003
        schema_creator: Any,
    ) -> Reference | Schema:
        """The schema of the type itself."""
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(
        cls,
        model_type: type[Any],  # noqa: ARG003
    ) -> Generator[DTOFieldDefinition, None, None]:
        """None: there is no model between body and type."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: Any) -> bool:  # noqa: ARG003
        """None are."""
        return False


def json_body(
    shape: type[Shape], reword: Callable[[str, str], str] = lambda _place, message: message
) -> dict[str, Any]:
    """What a route is told so that its body is decoded strictly as a type.

    Args:
        shape: the type.
        reword: makes a better message of the place and the message of an error.
    """
    decoder = msgspec.json.Decoder(shape)
    members = {"decoder": decoder, "reword": staticmethod(reword), "__slots__": ()}
    return {"dto": type(f"{shape.__name__}Body", (JSONBody,), members), "return_dto": None}
