"""The questions that the desk asks: a number, a choice, yes or no."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

_CSS = """
Question { align: center middle; }
Question > Vertical { width: 60; height: auto; border: round $accent; background: $surface; padding: 1 2; }
"""


class Question(ModalScreen[str | None]):
    """A question; its answer is text, or None if the agent thinks better of it."""

    DEFAULT_CSS = _CSS
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "Back")]


class Ask(Question):
    """Asks for a line of text."""

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question and a field."""
        with Vertical():
            yield Label(Text(self._question))
            yield Input(max_length=80)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with what was typed, if it is anything."""
        self.dismiss(event.value.strip() or None)


class Choose(Question):
    """Asks for one of several: the answer is its key."""

    def __init__(self, question: str, choices: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._question = question
        self._choices = choices

    def compose(self) -> ComposeResult:
        """Show the question and the choices."""
        with Vertical():
            yield Label(Text(self._question))
            yield OptionList(
                *(Option(Text(label), id=f"choice-{n}") for n, (_, label) in enumerate(self._choices))
            )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer with the key of what was chosen."""
        self.dismiss(self._choices[event.option_index][0])


class Confirm(Question):
    """Asks yes or no: the answer is `yes` or None."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "dismiss('yes')", "Yes"), ("n", "dismiss(None)", "No")]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question."""
        with Vertical():
            yield Label(Text(self._question))
            yield Label(Text("y: yes   n: no"))
