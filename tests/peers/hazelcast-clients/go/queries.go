package main

import (
	"fmt"
	"math/big"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/aggregate"
	"github.com/hazelcast/hazelcast-go-client/predicate"
	"github.com/hazelcast/hazelcast-go-client/serialization"
)

var (
	personNames = []string{"Ann", "Bob", "ann", "Cem", "Dörte", ""}
	personAges  = []int32{30, 40, 30, 7, -1, 99}
)

func bigInt(text string) (*big.Int, error) {
	number, is := new(big.Int).SetString(text, 10)
	if !is {
		return nil, fmt.Errorf("%s is not a number", text)
	}
	return number, nil
}

func person(form string, n int) interface{} {
	name, age, active, height := personNames[n], personAges[n], n%2 == 0, 1.5+float64(n)/8
	switch form {
	case "json":
		return serialization.JSON(fmt.Sprintf(`{"name": %q, "age": %d, "active": %t, "height": %g}`, name, age, active, height))
	case "portable":
		return &portablePerson{name: name, age: age, active: active, height: height}
	}
	return compactPerson{Name: name, Age: age, Active: active, Height: &height}
}

func filled(it *testCase, form string) *hazelcast.Map {
	m := must(it.client.GetMap(ctx, it.fresh()))
	for n := range personNames {
		check(m.Set(ctx, int32(n), person(form, n)))
	}
	return m
}

func predicates() map[string]predicate.Predicate {
	thirty := predicate.Equal("age", int32(30))
	return map[string]predicate.Predicate{
		"true":                   predicate.True(),
		"false":                  predicate.False(),
		"equal":                  predicate.Equal("name", "Ann"),
		"equal-number":           thirty,
		"equal-int64":            predicate.Equal("age", int64(30)),
		"equal-text-of-a-number": predicate.Equal("age", "30"),
		"equal-float":            predicate.Equal("height", 1.5),
		"equal-bool":             predicate.Equal("active", true),
		"equal-nil":              predicate.Equal("name", nil),
		"equal-missing":          predicate.Equal("nothing", int32(1)),
		"not-equal":              predicate.NotEqual("name", "Ann"),
		"greater":                predicate.Greater("age", int32(30)),
		"greater-or-equal":       predicate.GreaterOrEqual("age", int32(30)),
		"less":                   predicate.Less("age", int32(30)),
		"less-or-equal":          predicate.LessOrEqual("age", int32(30)),
		"less-float":             predicate.Less("age", 30.5),
		"between":                predicate.Between("age", int32(7), int32(40)),
		"in":                     predicate.In("name", "Ann", "Cem", "nobody"),
		"in-mixed":               predicate.In("age", int32(7), 99.0, "40"),
		"like":                   predicate.Like("name", "A%"),
		"ilike":                  predicate.ILike("name", "%NN"),
		"regex":                  predicate.Regex("name", "[A-C].*"),
		"regex-wrong":            predicate.Regex("name", "("),
		"and":                    predicate.And(thirty, predicate.Equal("name", "ann")),
		"and-of-nothing":         predicate.And(),
		"or":                     predicate.Or(predicate.Equal("age", int32(7)), predicate.Less("age", int32(0))),
		"or-of-nothing":          predicate.Or(),
		"not":                    predicate.Not(thirty),
		"key":                    predicate.Greater("__key", int32(3)),
		"sql":                    predicate.SQL("age >= 30 and name like 'A%'"),
		"sql-wrong":              predicate.SQL("age >>> and"),
		"instance-of":            predicate.InstanceOf("java.lang.String"),
	}
}

func aggregators() map[string]aggregate.Aggregator {
	return map[string]aggregate.Aggregator{
		"count":           aggregate.CountAll(),
		"count-attribute": aggregate.Count("age"),
		"distinct":        aggregate.DistinctValues("age"),
		"int-sum":         aggregate.IntSum("age"),
		"int-average":     aggregate.IntAverage("age"),
		"long-sum":        aggregate.LongSum("age"),
		"double-sum":      aggregate.DoubleSum("height"),
		"double-average":  aggregate.DoubleAverage("height"),
		"max":             aggregate.Max("age"),
		"min":             aggregate.Min("name"),
		"missing":         aggregate.IntSum("nothing"),
	}
}

func addQueries() {
	for _, form := range []string{"json", "portable", "compact"} {
		for name, what := range predicates() {
			add("map.query-"+form+"-"+name, func(it *testCase) {
				it.seeUnordered(filled(it, form).GetKeySetWithPredicate(ctx, what))
			})
		}
		for name, what := range aggregators() {
			add("map.aggregate-"+form+"-"+name, func(it *testCase) {
				it.seeUnordered(filled(it, form).Aggregate(ctx, what))
			})
		}
	}
	onMap("query-plain-values", func(it *testCase, m *hazelcast.Map) {
		check(m.PutAll(ctx, entriesOf(10)...))
		it.seeUnordered(m.GetKeySetWithPredicate(ctx, predicate.Greater("this", int64(6))))
		it.seeUnordered(m.GetValuesWithPredicate(ctx, predicate.In("__key", "k1", "k2")))
		it.seeUnordered(m.GetEntrySetWithPredicate(ctx, predicate.Less("this", int64(2))))
		it.act(m.RemoveAll(ctx, predicate.Greater("this", int64(3))))
		it.see(m.Size(ctx))
		it.see(m.AggregateWithPredicate(ctx, aggregate.LongSum("this"), predicate.Less("this", int64(3))))
	})
}
