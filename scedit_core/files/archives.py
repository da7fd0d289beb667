"""PyTorch weight files (.bin, .pt, .pth, .ckpt): tensors of one, with nothing of it run and nothing trusted.

There are two layouts: an archive whose members are the pickle and the numbers, and an older one in which both
follow each other. The pickle is read by `pickles`, the archive's directory by Python alone, and the tensors
are made here: torch, which reads both in its own way, sees neither.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..errors import SCEditError, shown
from .limits import MOST_DIRECTORY, MOST_PICKLE, MOST_TENSORS_READ
from .pickles import read_pickle
from .stored import RefusedPickle, Storage, StoredTensor, TornPickle

_ARCHIVE = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, and lengths of the name and of what follows it
_COUNT = struct.Struct("<q")
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # how files of the older layout begin

# What Python raises for the directory of an archive that is cut, damaged or of a later kind.
_TORN = (zipfile.BadZipFile, NotImplementedError, OSError, OverflowError, ValueError, struct.error, EOFError)


def read_pytorch(opened: BinaryIO, file: Path) -> dict[str, Tensor]:
    """The tensors of a file that is open at its start. Those of an archive stay in it: it is mapped.

    Raises SCEditError for a file that is cut or damaged, and for one that holds anything but named tensors.
    """
    is_archive = opened.read(4) == _ARCHIVE
    opened.seek(0)
    try:
        return _read_archive(opened, file) if is_archive else _read_older(opened)
    except RefusedPickle as error:
        raise SCEditError(
            f"'{shown(file.name)}' was refused: it holds {error}, which no plain weight file does and which "
            "could run code; get it from its author again, if possible as safetensors"
        ) from error
    except (TornPickle, *_TORN) as error:
        raise SCEditError(
            f"'{shown(file.name)}' is no whole PyTorch weight file ({shown(str(error)) or 'it ends'}); it "
            "may be truncated, get it again"
        ) from error
    except _NoTensors as error:
        raise SCEditError(
            f"'{shown(file.name)}' holds no plain dictionary of tensors; it is not an SCEdit tuner"
        ) from error


class _NoTensors(Exception):
    """A pickle holds values, but not tensors by name."""


class _Frugal:
    """A file that hands over at most MOST_DIRECTORY bytes at once: Python reads a directory in one piece."""

    def __init__(self, opened: BinaryIO) -> None:
        self.seek, self.tell, self._opened = opened.seek, opened.tell, opened

    def read(self, size: int = -1) -> bytes:
        """Bytes of the file. Raises RefusedPickle if too many are asked for."""
        if size > MOST_DIRECTORY:
            raise RefusedPickle(f"a directory of {size} bytes")
        return self._opened.read(size)


def _read_archive(opened: BinaryIO, file: Path) -> dict[str, Tensor]:
    members = _members(opened)
    inside = [name.split("/") for name in members]
    roots = [parts[0] for parts in inside if len(parts) == 2 and parts[1] == "data.pkl"]
    if len(roots) != 1:
        raise TornPickle("it has no data.pkl, or several")
    if _content(opened, members.get(f"{roots[0]}/byteorder")) not in (b"", b"little"):
        raise RefusedPickle("numbers of a machine that writes them the other way round")
    pickle = _content(opened, members[f"{roots[0]}/data.pkl"])
    tensors = _named(read_pickle(io.BytesIO(pickle)))
    places = {}
    for storage in _storages(tensors.values()):
        start, size = members.get(f"{roots[0]}/data/{storage.key}", (0, -1))
        if size != storage.nbytes:
            raise TornPickle(f"the numbers '{shown(storage.key)}' are not there, or not as many")
        places[storage.key] = (start, size)
    whole = os.fstat(opened.fileno()).st_size
    _check_sums(tensors, whole)
    mapped: Any = torch.UntypedStorage.from_file(str(file), False, whole)
    return {key: _view(tensor, _part(mapped, *places[tensor.storage.key])) for key, tensor in tensors.items()}


def _members(opened: BinaryIO) -> dict[str, tuple[int, int]]:
    """Where the members of an archive lie, by name: first byte and number of bytes.

    Raises RefusedPickle for those that do not lie there as they are; torch.save compresses nothing.
    """
    whole = os.fstat(opened.fileno()).st_size
    with zipfile.ZipFile(_Frugal(opened)) as archive:  # pyright: ignore[reportArgumentType]
        entries = archive.infolist()
    if len({entry.filename for entry in entries}) != len(entries):
        raise RefusedPickle("two members of one name")
    members = {}
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise RefusedPickle("a compressed archive, which unpacks to more than its size,")
        if entry.flag_bits & 0x1:
            raise RefusedPickle("an encrypted archive")
        opened.seek(entry.header_offset)
        signature, *lengths = _LOCAL_HEADER.unpack(opened.read(_LOCAL_HEADER.size))
        start = entry.header_offset + _LOCAL_HEADER.size + sum(lengths)
        if signature != _ARCHIVE or start + entry.file_size > whole:
            raise TornPickle("a member does not lie where the directory says")
        members[entry.filename] = (start, entry.file_size)
    return members


def _content(opened: BinaryIO, member: tuple[int, int] | None) -> bytes:
    """Bytes of a member, which is no tensor; none for a member that is not there."""
    start, size = member or (0, 0)
    if size > MOST_PICKLE:
        raise RefusedPickle(f"a pickle of {size} bytes")
    opened.seek(start)
    return opened.read(size)


def _read_older(opened: BinaryIO) -> dict[str, Tensor]:
    """Tensors of a file in which pickles come first and then, one after the other, counts and numbers."""
    whole = os.fstat(opened.fileno()).st_size
    pickles = io.BytesIO(opened.read(MOST_PICKLE))
    if pickles.getbuffer()[:1] != b"\x80" or (read_pickle(pickles), read_pickle(pickles)) != (
        _MAGIC,
        _PROTOCOL,
    ):
        raise TornPickle("it does not begin as one")
    system = read_pickle(pickles)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise RefusedPickle("numbers of a machine that writes them the other way round")
    tensors = _named(read_pickle(pickles))
    storages = {storage.key: storage for storage in _storages(tensors.values())}
    keys = read_pickle(pickles)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise TornPickle("the list of its numbers is another")
    _check_sums(tensors, whole)
    opened.seek(pickles.tell())
    numbers = {key: _read_numbers(opened, storages[key]) for key in keys}
    return {key: _view(tensor, numbers[tensor.storage.key]) for key, tensor in tensors.items()}


def _read_numbers(opened: BinaryIO, storage: Storage) -> torch.UntypedStorage:
    if _COUNT.unpack(opened.read(_COUNT.size)) != (storage.count,):
        raise TornPickle(f"the numbers '{shown(storage.key)}' are not as many as it says")
    numbers = torch.empty(storage.nbytes, dtype=torch.uint8, device="cpu")
    if opened.readinto(numbers.numpy()) != storage.nbytes:  # pyright: ignore[reportAttributeAccessIssue]
        raise TornPickle("it ends among its numbers")
    return numbers.untyped_storage()


def _named(value: Any) -> Mapping[str, StoredTensor]:
    is_dictionary = isinstance(value, dict) and all(isinstance(one, StoredTensor) for one in value.values())
    if not is_dictionary:
        raise _NoTensors
    if len(value) > MOST_TENSORS_READ:
        raise RefusedPickle(f"{len(value)} tensors")
    return value


def _storages(tensors: Iterable[StoredTensor]) -> set[Storage]:
    """The storages that tensors share. Raises RefusedPickle if a key stands for two of them."""
    storages = {tensor.storage for tensor in tensors}
    if len({storage.key for storage in storages}) != len(storages):
        raise RefusedPickle("numbers that are of two kinds at once")
    return storages


def _check_sums(tensors: Mapping[str, StoredTensor], whole: int) -> None:
    """Refuse members that lie on each other, and tensors that repeat numbers and are larger than the file."""
    held = sum(storage.nbytes for storage in _storages(tensors.values()))
    if held > whole:
        raise TornPickle(f"{held} bytes of numbers in a file of {whole}")
    largest = max((tensor.nbytes for tensor in tensors.values()), default=0)
    if largest > whole:
        raise RefusedPickle(f"a tensor of {largest} bytes in a file of {whole}")


def _part(mapped: torch.UntypedStorage, start: int, size: int) -> torch.UntypedStorage:
    return mapped[start : start + size] if size else torch.UntypedStorage(0)


def _view(tensor: StoredTensor, storage: torch.UntypedStorage) -> Tensor:
    empty = torch.empty(0, dtype=tensor.dtype, device="cpu")
    return empty.set_(storage, tensor.offset, tensor.shape, tensor.stride)  # pyright: ignore
