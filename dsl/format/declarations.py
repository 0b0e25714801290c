"""Declarations, clauses and the statements of tests as documents."""

from __future__ import annotations

from collections.abc import Callable

from lark import Token, Tree

from dsl.format.layout import Doc, Group, Indent, Line, Tail
from dsl.format.patterns import Patterns
from dsl.format.values import Node, index_of


class Declarations(Patterns):
    """The document of a whole declaration: :meth:`declaration`."""

    def declaration(self, node: Tree[Token]) -> Doc:
        """A declaration from its keyword to its last token."""
        match node.data:
            case "event":
                return self._event(node)
            case "param":
                return self._param(node)
            case "define":
                return self._define(node)
            case "baseline":
                return self._baseline_declaration(node)
            case "signal":
                return self._signal(node)
            case "rule" | "test":
                return self._block(node, self._clause if node.data == "rule" else self._statement)
            case _:
                return self._words(node)

    def _words(self, node: Tree[Token]) -> Doc:
        """Parts side by side: LIST, and what needs no other place to break than its values have."""
        return self.spaced(self._word(part) for part in node.children)

    def _word(self, node: Node) -> Doc:
        if isinstance(node, Token):
            return self.token(node)
        match node.data:
            case "name":
                return self.name(node)
            case "names":
                return self.names(node)
            case "paths":
                return self.paths(node)
            case "source_event" | "source_alert":
                return self.source(node)
            case "grace" | "late" | "baseline_by" | "baseline_every" | "baseline_over":
                return self._words(node)
            case "baseline_using" | "baseline_warmup" | "baseline_peer":
                return self._words(node)
            case _:
                return self.value(node)

    def _block(self, node: Tree[Token], make: Callable[[Tree[Token]], Doc]) -> Doc:
        """``KEYWORD head { items }``: one item a line; a single short one may share the line."""
        at = index_of("LBRACE", node)
        opening, *inside, closing = node.children[at:]
        items: list[tuple[Node, Doc]] = [(part, make(part)) for part in inside if isinstance(part, Tree)]
        broken = len(items) > 1 or (bool(items) and self.starts_line(items[0][0]))
        head = self.spaced(map(self._word, node.children[:at]))
        return (head, " ", self.braces(opening, items, closing, broken))

    # --- EVENT, PARAM, DEFINE, BASELINE, SIGNAL

    def _event(self, node: Tree[Token]) -> Doc:
        return self._block(node, self._field)

    def _field(self, node: Tree[Token]) -> Doc:
        name, colon, *rest = node.children
        parts: list[Doc] = [(self.as_written(name), self._word(colon))]
        text: list[Node] = []
        for part in rest:
            if isinstance(part, Token):  # the question mark of a field that may be missing
                parts[-1] = (parts[-1], self.token(part))
                continue
            assert isinstance(part, Tree)
            if part.data == "field_text" and part is rest[-1]:
                text.append(part.children[0])
            else:
                parts.append(self.spaced(map(self._word, part.children)))
        return self._described(self.spaced(parts), text)

    def _described(self, head: Doc, text: list[Node]) -> Doc:
        """With the text about it, below if the author put it there."""
        return Tail(head, self._word(text[0]), self.starts_line(text[0])) if text else head

    def _param(self, node: Tree[Token]) -> Doc:
        keyword, name, equals, value, *text = node.children
        head = self.spaced(
            [self._word(keyword), self.as_written(name), self._word(equals), self.value(value)]
        )
        return self._described(head, text)

    def _define(self, node: Tree[Token]) -> Doc:
        keyword, name, opening, names, closing, equals, body = node.children
        called = (self.name(name), self._word(opening), self.names(names), self._word(closing))
        head = (self._word(keyword), " ", called)
        return Group((head, " ", self._word(equals), Indent((Line(), self.expression(body, hang=False)))))

    def _baseline_declaration(self, node: Tree[Token]) -> Doc:
        keyword, name, equals, *_ = node.children
        at = index_of("OF", node)
        values = self.commas(node.children[3:at], self.expression)
        parts: list[Doc] = [
            self.spaced([self._word(keyword), self.name(name), self._word(equals), values[0]]),
            *values[1:],
        ]
        source: list[Doc] = [self._word(node.children[at]), self.name(node.children[at + 1])]
        for option in node.children[at + 2 :]:
            assert isinstance(option, Tree)
            if option.data == "filter":
                source.append(self.filter(option))
            else:
                if source:
                    parts.append(self.spaced(source))
                    source = []
                parts.append(self._words(option))
        if source:
            parts.append(self.spaced(source))
        return (parts[0], Indent(tuple(Group((Line(), part)) for part in parts[1:])))

    def _signal(self, node: Tree[Token]) -> Doc:
        keyword, name, equals, first, *rest = node.children
        text = [part for part in rest[-1:] if isinstance(part, Token)]
        members = rest[: len(rest) - len(text)]
        more: list[Doc] = []
        for word, atom in zip(members[::2], members[1::2], strict=True):
            more += [Line(), self.spaced([self._word(word), self.atom(atom)])]
        head = self.spaced([self._word(keyword), self.name(name), self._word(equals)])
        sources = Group((self.atom(first), *more))
        described = (Line(), self._word(text[0])) if text else ()
        below = bool(text) and self.starts_line(text[0])
        return Group((head, " ", Indent((sources, *described))), below)

    # --- clauses of a RULE

    def _clause(self, node: Tree[Token]) -> Doc:
        if node.data == "param":
            return self._param(node)
        if node.data == "alert":
            keyword, opening, *entries, closing = node.children
            broken = bool(entries) and self.starts_line(entries[0])
            items: list[tuple[Node, Doc]] = [(entry, self._alert_entry(entry)) for entry in entries]
            return (self._word(keyword), " ", self.braces(opening, items, closing, broken))
        if node.data == "meta":
            return self._words(node)
        keyword, *rest = node.children
        doc = self.spaced(map(self._clause_part, rest))
        # Only what goes on in further lines is indented; a broken bracket closes below its clause.
        return (self._word(keyword), " ", Indent(doc) if self._goes_on(node) else doc)

    @staticmethod
    def _goes_on(node: Tree[Token]) -> bool:
        if node.data in {"by", "suppress"}:
            return True
        pattern = node.children[-1]
        if node.data != "when" or not isinstance(pattern, Tree):
            return False
        chain = pattern.children[0]
        return isinstance(chain, Tree) and len(chain.children) > 1

    def _clause_part(self, node: Node) -> Doc:
        if isinstance(node, Token):
            return self.token(node)
        match node.data:
            case "pattern":
                return self.pattern(node)
            case "names" | "paths" | "quantity" | "source_event" | "source_alert":
                return self._word(node)
            case _:
                return self.expression(node)

    def _alert_entry(self, node: Node) -> Doc:
        assert isinstance(node, Tree)
        key, colon, *rest = node.children
        head = (self._word(key), self._word(colon), " ")
        if node.data == "alert_text":
            return (*head, self._word(rest[0]))
        opening, *paths, closing = rest
        inside = paths[0].children if paths and isinstance(paths[0], Tree) else []
        return (*head, self.bracketed(opening, inside, closing, self.path))

    # --- statements of a TEST

    def _statement(self, node: Tree[Token]) -> Doc:
        parts: list[Doc] = []
        at_sign: Doc = ""
        for part in node.children:
            if isinstance(part, Token) and part == "@":
                at_sign = self.token(part)
                continue
            doc = self._statement_part(part, node.data == "given_param")
            parts.append((at_sign, doc) if at_sign != "" else doc)
            at_sign = ""
        return self.spaced(parts)

    def _statement_part(self, node: Node, as_written: bool) -> Doc:
        if isinstance(node, Tree) and node.data == "path" and as_written:
            return self.path(node)
        if isinstance(node, Tree) and node.data == "given_key":
            first = node.children[0]
            if isinstance(first, Token) and first.type == "LPAR":
                opening, *values, closing = node.children
                return self.enclosed(opening, self.commas(values, self.value), closing)
            return self.value(first)
        return self._word(node)
