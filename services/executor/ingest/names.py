"""What the columns of a table are called, by the headers of what is delivered.

A header has one name in all files and pages of a load. Headers that differ in case alone are
one column, unless both stand in one file; where others would have the same name, one gets `_`
behind it. What a header is called is known to the loads that follow, where that is not the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from services.executor.ingest.errors import MOST_COLUMNS, RefusedFileError, TooManyColumnsError
from services.executor.ingest.parts import LONGEST_NAME, column_name


class Names:
    """Of one load."""

    def __init__(self, columns: Iterable[str] = (), known: Mapping[str, str] | None = None) -> None:
        """Of a table with these columns, for some of whose headers the names are known."""
        self._spelled = {name.lower(): name for name in columns}
        self._names = dict(known or {})
        self._headers = {name.lower(): header for header, name in self._names.items()}

    def name(self, header: str) -> str:
        return self._names.get(header) or column_name(header)

    def of(self, headers: Sequence[str], file: str) -> Mapping[str, str]:
        """Of all columns of a file. Raises `RefusedFileError`."""
        taken = {self._names[header].lower() for header in headers if header in self._names}
        for header in sorted(headers, key=self._yields):
            if header not in self._names:
                self._names[header] = self._given(header, taken, file)
                taken.add(self._names[header].lower())
                if len(self._headers) > MOST_COLUMNS:
                    raise TooManyColumnsError(file, column=header)
        found = {header: self._names[header] for header in headers}
        if len(taken) < len(found):
            raise _refusal(found, file)
        return found

    @property
    def remembered(self) -> Mapping[str, str]:
        """Of headers that are called otherwise, and of those that others would be called, too."""
        several = defaultdict[str, set[str]](set)
        for header, name in self._names.items():
            several[column_name(header).lower()].add(name)
        return {
            header: name
            for header, name in self._names.items()
            if header != name or len(several[column_name(header).lower()]) > 1
        }

    def _yields(self, header: str) -> bool:
        """To a header that is a name as it stands; not where loads of before took the first."""
        name = column_name(header).lower()
        return header.lower() != name and f"{name}_" not in self._spelled

    def _given(self, header: str, taken: set[str], file: str) -> str:
        plain = column_name(header)
        for more in range(LONGEST_NAME):
            name = f"{plain[: LONGEST_NAME - more]}{'_' * more}"
            if self._is_free(name.lower(), header, taken):
                self._headers.setdefault(name.lower(), header)
                return self._spelled.setdefault(name.lower(), name)
        problem = f"{LONGEST_NAME} columns before it would be called {plain} too: rename them"
        raise RefusedFileError(file, problem, column=header)

    def _is_free(self, lower: str, header: str, taken: set[str]) -> bool:
        other = self._headers.get(lower)
        return other is None or (other.lower() == header.lower() and lower not in taken)


def _refusal(found: Mapping[str, str], file: str) -> RefusedFileError:
    headers = dict[str, str]()
    for header, name in found.items():
        if (other := headers.setdefault(name.lower(), header)) != header:
            break
    problem = f"it and {other} were one column in files before, and both are here: rename one"
    return RefusedFileError(file, problem, column=header)
