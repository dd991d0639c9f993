// Objects of the application.

export class PortablePerson {
  factoryId = 1;
  classId = 3;

  constructor(name = "", age = 0, active = false, height = 0) {
    Object.assign(this, { name, age, active, height });
  }

  writePortable(writer) {
    writer.writeString("name", this.name);
    writer.writeInt("age", this.age);
    writer.writeBoolean("active", this.active);
    writer.writeDouble("height", this.height);
  }

  readPortable(reader) {
    this.name = reader.readString("name");
    this.age = reader.readInt("age");
    this.active = reader.readBoolean("active");
    this.height = reader.readDouble("height");
  }

  toString() {
    return `${this.name} ${this.age}`;
  }
}

export class CompactPerson {
  constructor(name, age, active, height) {
    Object.assign(this, { name, age, active, height });
  }

  toString() {
    return `${this.name} ${this.age}`;
  }
}

const serializer = {
  getClass: () => CompactPerson,
  getTypeName: () => "node-person",
  read: (reader) =>
    new CompactPerson(
      reader.readString("name"),
      reader.readInt32("age"),
      reader.readBoolean("active"),
      reader.readNullableFloat64("height"),
    ),
  write: (writer, person) => {
    writer.writeString("name", person.name);
    writer.writeInt32("age", person.age);
    writer.writeBoolean("active", person.active);
    writer.writeNullableFloat64("height", person.height);
  },
};

// An entry processor, which members of Hazelcast do not know.
export class Processor {
  factoryId = 77;
  classId = 1;
  readData() {}
  writeData() {}
}

export function configure(config) {
  const serialization = {
    portableFactories: { 1: (kind) => (kind === 3 ? new PortablePerson() : null) },
    compact: { serializers: [serializer] },
    dataSerializableFactories: { 77: () => new Processor() },
  };
  return { ...config, serialization };
}
