"""What requests and answers look like; the OpenAPI document is made from these types."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Classified",
    "Classify",
    "Contribution",
    "Embedded",
    "Embedding",
    "EmbeddingRequest",
    "Expand",
    "Expanded",
    "Explain",
    "Explained",
    "ExplainedTexts",
    "Health",
    "IndexInfo",
    "Info",
    "Keyword",
    "Label",
    "MapWord",
    "ModelEntry",
    "ModelInfo",
    "ModelList",
    "Ready",
    "Request",
    "Usage",
    "WordMap",
    "WordNeighbor",
    "WordNeighbors",
]

K = Annotated[int, Meta(ge=1, description="how many results")]
Text = Annotated[str, Meta(min_length=1)]
Similarity = Annotated[float, Meta(ge=-1, le=1, description="cosine; higher is closer")]


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of what requests hold: a field that does not exist is refused."""


# -------------------------------------------------------------------------------- embeddings


class EmbeddingRequest(Request, forbid_unknown_fields=False, kw_only=True):
    """Texts to embed, as the OpenAI API takes them; fields that it knows besides are let be."""

    input: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1)],
        Meta(description="a text or a list of texts; token ids are not taken"),
    ]
    model: Annotated[str, Meta(description="the name or the fingerprint that /v1/models lists")]
    encoding_format: Annotated[
        Literal["float", "base64"],
        Meta(description="numbers, or base64 of little-endian float32"),
    ] = "float"
    dimensions: Annotated[
        int | None, Meta(description="may only be what the model has; vectors are not cut")
    ] = None
    user: Annotated[str | None, Meta(description="ignored")] = None


class Embedding(msgspec.Struct):
    """The vector of one text; zeros where no word of it is known."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(msgspec.Struct):
    """Words in all texts, known or not."""

    prompt_tokens: int
    total_tokens: int


class Embedded(msgspec.Struct):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class ModelEntry(msgspec.Struct):
    """A name by which /v1/embeddings knows the model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "pintext"


class ModelList(msgspec.Struct):
    """The names of the model that is served: the one of the settings, and its fingerprint."""

    data: list[ModelEntry]
    object: Literal["list"] = "list"


# -------------------------------------------------------------------------------- words, texts


class WordNeighbor(msgspec.Struct):
    """A word near to another."""

    word: str
    similarity: Similarity


class WordNeighbors(msgspec.Struct):
    """The nearest words, nearest first; none where the word has no row."""

    word: str
    known: bool
    neighbors: list[WordNeighbor]


class Explain(Request):
    """A query and a pin: one of the index by its id, or any text."""

    query: Text
    pin_id: str | None = None
    pin_text: str | None = None


class Contribution(msgspec.Struct):
    """What one word of the query and one word of the pin give to the similarity."""

    query_word: str
    pin_word: str
    contribution: float


class Explained(msgspec.Struct):
    """A similarity and the contributions that add up to it, the largest in size first."""

    similarity: Similarity
    contributions: list[Contribution]


class ExplainedTexts(Explained):
    """With the words that give nothing, because they have no row."""

    unknown_query_words: list[str]
    unknown_pin_words: list[str]


class Classify(Request):
    """A text whose nearest labels are wanted."""

    text: Text
    k: K = 10


class Label(msgspec.Struct):
    """A label near to a text."""

    label: str
    similarity: Similarity


class Classified(msgspec.Struct):
    """The nearest labels, nearest first; none where no word of the text is known."""

    labels: list[Label]


class Expand(Request):
    """A pin, by its id in the index or as a text, whose nearest keywords are wanted."""

    pin_id: str | None = None
    text: str | None = None
    k: K = 10


class Keyword(msgspec.Struct):
    """A keyword near to a pin."""

    keyword: str
    similarity: Similarity


class Expanded(msgspec.Struct):
    """The nearest keywords, nearest first."""

    keywords: list[Keyword]


# -------------------------------------------------------------------------------- the map


class MapWord(msgspec.Struct):
    """A word's place in the plane."""

    word: str
    x: float
    y: float
    task: str
    """the task in whose texts the word has the largest share"""
    count: int
    """running words in all tasks"""


class WordMap(msgspec.Struct):
    """The most frequent words, projected on the plane in which they differ most."""

    words: list[MapWord]


# -------------------------------------------------------------------------------- operations


class Health(msgspec.Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct):
    """Whether requests should be sent here, and what is wrong where something is."""

    ready: bool
    draining: bool = False
    warning: str | None = None
    """why a newer index or model is not served, while the one before goes on"""


class ModelInfo(msgspec.Struct):
    """The dictionary that is served."""

    fingerprint: str
    words: int
    dim: int
    tasks: list[str]


class IndexInfo(msgspec.Struct):
    """The pins that are served."""

    fingerprint: str
    """of the model that embedded them"""
    pins: int
    generation: int
    """grows with every change"""
    text_columns: list[str]
    filter_fields: list[str]
    expected_recall: float
    """recall@10 of the token search, as it was planned"""
    measured_recall: float
    """and as it was found after building"""


class Info(msgspec.Struct):
    """What is served."""

    version: str
    model: ModelInfo
    index: IndexInfo | None
    labels: int
    keywords: int
    examples: list[str]
