"""Dataclasses for the worker: the same as `dataclasses`, whose import and decorator are slow.

A worker that runs a trivial job has some twenty such classes, and `dataclasses` would take a third
of its processor time. `dataclasses.replace`, `asdict` and `fields` work with these classes, too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, fields, replace
else:

    class _Field:
        """Name and default of a field."""

        def __init__(self, name="", factory=None):
            self.name = name
            self.factory = factory

    class _Fields:
        """Makes the fields that `dataclasses` wants to see, when it does."""

        def __get__(self, _record, cls):
            import dataclasses

            names = {"__annotations__": cls.__annotations__, "__module__": cls.__module__}
            like = type(cls.__name__, (), {**names, **cls._record_defaults})
            for one in cls._record_fields:
                if one.factory is not None:
                    setattr(like, one.name, dataclasses.field(default_factory=one.factory))
            found = dataclasses.dataclass(like).__dataclass_fields__
            cls.__dataclass_fields__ = found
            return found

    def field(*, default_factory):
        """Return a field whose default is made anew for each record."""
        return _Field(factory=default_factory)

    def dataclass(cls=None, *, frozen=False):
        """Make a class one of records."""
        if cls is None:
            return lambda one: dataclass(one, frozen=frozen)
        names = tuple(cls.__annotations__)
        given = {one: vars(cls)[one] for one in names if one in vars(cls)}
        factories = {one: value.factory for one, value in given.items() if type(value) is _Field}
        for one in factories:
            delattr(cls, one)
            del given[one]
        cls._record_fields = tuple(_Field(one, factories.get(one)) for one in names)
        cls._record_defaults = given
        cls.__dataclass_fields__ = _Fields()
        finish = vars(cls).get("__post_init__")
        set_field = object.__setattr__

        def make(self, *args, **kwargs):
            values = dict(zip(names, args))
            if kwargs:
                if not values.keys().isdisjoint(kwargs):
                    raise TypeError(f"{cls.__name__}: {sorted(kwargs)}: given twice")
                values.update(kwargs)
            if len(values) < len(names):
                for name in names:
                    if name not in values:
                        if name in given:
                            values[name] = given[name]
                        elif name in factories:
                            values[name] = factories[name]()
                        else:
                            raise TypeError(f"{cls.__name__}: {name} is missing")
            if len(values) > len(names) or len(args) > len(names):
                unknown = [*values.keys() - set(names), *args[len(names) :]]
                raise TypeError(f"{cls.__name__}: unexpected: {unknown}")
            for name in names:  # one by one: so Python stores the names once for all records
                set_field(self, name, values[name])
            if finish is not None:
                finish(self)

        def show(self):
            text = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
            return f"{cls.__qualname__}({text})"

        def equal(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return all(getattr(self, name) == getattr(other, name) for name in names)

        def digest(self):
            return hash(tuple(getattr(self, name) for name in names))

        def refuse_set(self, name, _value):
            raise AttributeError(f"cannot assign to field {name!r} of a frozen {cls.__name__}")

        def refuse_delete(self, name):
            raise AttributeError(f"cannot delete field {name!r} of a frozen {cls.__name__}")

        cls.__init__, cls.__repr__, cls.__eq__ = make, show, equal
        cls.__hash__ = digest if frozen else None
        if frozen:
            cls.__setattr__, cls.__delattr__ = refuse_set, refuse_delete
        return cls

    def fields(record):
        """Return the fields of a record or its class."""
        return record._record_fields

    def replace(record, **changes):
        """Return a record with other values in some fields."""
        values = {one.name: getattr(record, one.name) for one in record._record_fields}
        return record.__class__(**{**values, **changes})

    def asdict(record):
        """Return a record as a dictionary, with the records in it."""
        return {one.name: _plain(getattr(record, one.name)) for one in record._record_fields}

    def _plain(value):
        if hasattr(value, "_record_fields"):
            return asdict(value)
        if isinstance(value, (list, tuple)):
            return type(value)(map(_plain, value))
        if isinstance(value, dict):
            return {_plain(key): _plain(one) for key, one in value.items()}
        return value


__all__ = ["asdict", "dataclass", "field", "fields", "replace"]
