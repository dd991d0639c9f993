package main

import (
	"fmt"
	"reflect"

	"github.com/hazelcast/hazelcast-go-client/serialization"
)

// A person, as a portable object.
type portablePerson struct {
	name   string
	age    int32
	active bool
	height float64
}

func (p *portablePerson) FactoryID() int32 { return 1 }

func (p *portablePerson) ClassID() int32 { return 4 }

func (p *portablePerson) WritePortable(writer serialization.PortableWriter) {
	writer.WriteString("name", p.name)
	writer.WriteInt32("age", p.age)
	writer.WriteBool("active", p.active)
	writer.WriteFloat64("height", p.height)
}

func (p *portablePerson) ReadPortable(reader serialization.PortableReader) {
	p.name = reader.ReadString("name")
	p.age = reader.ReadInt32("age")
	p.active = reader.ReadBool("active")
	p.height = reader.ReadFloat64("height")
}

func (p *portablePerson) String() string { return fmt.Sprintf("portable %s %d", p.name, p.age) }

type factory struct{}

func (factory) Create(kind int32) serialization.Portable {
	if kind == 4 {
		return &portablePerson{}
	}
	return nil
}

func (factory) FactoryID() int32 { return 1 }

// A person, as a compact record.
type compactPerson struct {
	Name   string
	Age    int32
	Active bool
	Height *float64
}

func (p compactPerson) String() string { return fmt.Sprintf("compact %s %d", p.Name, p.Age) }

type personSerializer struct{}

func (personSerializer) Type() reflect.Type { return reflect.TypeOf(compactPerson{}) }

func (personSerializer) TypeName() string { return "go-person" }

func (personSerializer) Read(reader serialization.CompactReader) interface{} {
	person := compactPerson{
		Age: reader.ReadInt32("age"), Active: reader.ReadBoolean("active"), Height: reader.ReadNullableFloat64("height"),
	}
	if name := reader.ReadString("name"); name != nil {
		person.Name = *name
	}
	return person
}

func (personSerializer) Write(writer serialization.CompactWriter, value interface{}) {
	person := value.(compactPerson)
	writer.WriteString("name", &person.Name)
	writer.WriteInt32("age", person.Age)
	writer.WriteBoolean("active", person.Active)
	writer.WriteNullableFloat64("height", person.Height)
}
