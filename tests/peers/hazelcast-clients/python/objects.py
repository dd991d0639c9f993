"""Objects of the application."""

from hazelcast.serialization.api import CompactSerializer, Portable


class PortablePerson(Portable):
    def __init__(self, name="", age=0, active=False, height=0.0):
        self.name = name
        self.age = age
        self.active = active
        self.height = height

    def write_portable(self, writer):
        writer.write_string("name", self.name)
        writer.write_int("age", self.age)
        writer.write_boolean("active", self.active)
        writer.write_double("height", self.height)

    def read_portable(self, reader):
        self.name = reader.read_string("name")
        self.age = reader.read_int("age")
        self.active = reader.read_boolean("active")
        self.height = reader.read_double("height")

    def get_factory_id(self):
        return 1

    def get_class_id(self):
        return 2

    def __eq__(self, other):
        return isinstance(other, PortablePerson) and str(self) == str(other)

    def __hash__(self):
        return hash(self.name)

    def __str__(self):
        return f"portable {self.name} {self.age}"


FACTORIES = {1: {2: PortablePerson}}


class CompactPerson:
    def __init__(self, name, age, active, height):
        self.name = name
        self.age = age
        self.active = active
        self.height = height

    def __eq__(self, other):
        return isinstance(other, CompactPerson) and str(self) == str(other)

    def __hash__(self):
        return hash(self.name)

    def __str__(self):
        return f"compact {self.name} {self.age}"


class PersonSerializer(CompactSerializer):
    def read(self, reader):
        return CompactPerson(
            reader.read_string("name"),
            reader.read_int32("age"),
            reader.read_boolean("active"),
            reader.read_nullable_float64("height"),
        )

    def write(self, writer, obj):
        writer.write_string("name", obj.name)
        writer.write_int32("age", obj.age)
        writer.write_boolean("active", obj.active)
        writer.write_nullable_float64("height", obj.height)

    def get_class(self):
        return CompactPerson

    def get_type_name(self):
        return "python-person"


class Pickled:
    """An object that the client pickles."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return isinstance(other, Pickled) and self.number == other.number

    def __hash__(self):
        return self.number

    def __str__(self):
        return f"pickled {self.number}"
