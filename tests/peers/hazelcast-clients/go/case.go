package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/serialization"
	"github.com/hazelcast/hazelcast-go-client/types"
)

const (
	// The longest time to wait for a condition.
	waitMax = 12 * time.Second
	// For how long an event that must not come is waited for.
	quiet = 150 * time.Millisecond
	poll  = 10 * time.Millisecond
	// Longer texts are printed as their length and checksum.
	lengthMax = 80
)

// Different in each run, so that a member may be used again.
var run = strconv.FormatInt(time.Now().UnixNano()&0xfffffff, 36)

var ctx = context.Background()

// A case performs operations on fresh structures, and notes what each of them returned.
type testCase struct {
	name   string
	client *hazelcast.Client
	seen   []string
	others []*hazelcast.Client
}

type body func(it *testCase)

var (
	cases = map[string]body{}
	names []string
)

// Declares a case.
func add(name string, what body) {
	if _, is := cases[name]; is {
		panic("two cases are named " + name)
	}
	cases[name] = what
	names = append(names, name)
}

// The errors of the protocol by name; others are "other".
var known = map[string]error{
	"ClassCast": hzerrors.ErrClassCast, "ClassNotFound": hzerrors.ErrClassNotFound,
	"ClientNotActive": hzerrors.ErrClientNotActive, "Execution": hzerrors.ErrExecution,
	"Serialization": hzerrors.ErrHazelcastSerialization, "IllegalArgument": hzerrors.ErrIllegalArgument,
	"IllegalMonitorState": hzerrors.ErrIllegalMonitorState, "IllegalState": hzerrors.ErrIllegalState,
	"IndexOutOfBounds": hzerrors.ErrIndexOutOfBounds, "NoSuchElement": hzerrors.ErrNoSuchElement,
	"NilPointer": hzerrors.ErrNilPointer, "OperationTimeout": hzerrors.ErrOperationTimeout,
	"Query": hzerrors.ErrQuery, "StaleSequence": hzerrors.ErrStaleSequence,
	"UnsupportedOperation": hzerrors.ErrUnsupportedOperation, "Hazelcast": hzerrors.ErrHazelcast,
	"Undefined": hzerrors.ErrUndefined, "Authentication": hzerrors.ErrAuthentication,
	"ServiceNotFound": hzerrors.ErrServiceNotFound, "Timeout": hzerrors.ErrTimeout,
	"Runtime": hzerrors.ErrRuntime, "SQL": hzerrors.ErrSQL, "Destroyed": hzerrors.ErrDistributedObjectDestroyed,
	"ArrayIndexOutOfBounds": hzerrors.ErrArrayIndexOutOfBounds, "NotInCluster": hzerrors.ErrClientNotAllowedInCluster,
	"ClientOffline": hzerrors.ErrClientOffline, "NegativeArraySize": hzerrors.ErrNegativeArraySize,
	"NotSerializable": hzerrors.ErrNotSerializable, "InvalidConfiguration": hzerrors.ErrInvalidConfiguration,
}

func errorText(err error) string {
	var found []string
	for name, sentinel := range known {
		if errors.Is(err, sentinel) {
			found = append(found, name)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		found = append(found, "DeadlineExceeded")
	}
	if len(found) == 0 {
		found = append(found, "other")
	}
	sort.Strings(found)
	return "!" + strings.Join(found, "+")
}

func large(line string) string {
	if len(line) > 8*lengthMax {
		return fmt.Sprintf("<length %d, checksum %d>", len(line), crc32.ChecksumIEEE([]byte(line)))
	}
	return line
}

// A value in one canonical form, with its type.
func text(value interface{}) string {
	switch value := value.(type) {
	case nil:
		return "nil"
	case string:
		if len(value) > lengthMax {
			return fmt.Sprintf("<string, length %d, checksum %d>", len(value), crc32.ChecksumIEEE([]byte(value)))
		}
		return strconv.QuoteToASCII(value)
	case []byte:
		if len(value) > lengthMax {
			return fmt.Sprintf("<bytes, length %d, checksum %d>", len(value), crc32.ChecksumIEEE(value))
		}
		return fmt.Sprintf("bytes %x", value)
	case serialization.JSON:
		return "json " + string(value)
	case error:
		return errorText(value)
	case types.Entry:
		return text(value.Key) + ": " + text(value.Value)
	case []interface{}:
		texts := make([]string, len(value))
		for index, item := range value {
			texts[index] = text(item)
		}
		return large("[" + strings.Join(texts, ", ") + "]")
	case []types.Entry:
		return unordered(value)
	case int, bool:
		return fmt.Sprint(value)
	case fmt.Stringer:
		return value.String()
	}
	return fmt.Sprintf("%T %v", value, value)
}

// Values whose order does not count.
func unordered(values interface{}) string {
	var texts []string
	switch values := values.(type) {
	case []interface{}:
		for _, value := range values {
			texts = append(texts, text(value))
		}
	case []types.Entry:
		for _, value := range values {
			texts = append(texts, text(value))
		}
	default:
		slice := reflect.ValueOf(values)
		if slice.Kind() != reflect.Slice {
			return text(values)
		}
		for index := range slice.Len() {
			texts = append(texts, text(slice.Index(index).Interface()))
		}
	}
	sort.Strings(texts)
	return large("(" + strings.Join(texts, ", ") + ")")
}

// The configuration of a client of the cluster.
func config() hazelcast.Config {
	config := hazelcast.Config{}
	config.Cluster.Name = os.Getenv("PEER_CLUSTER")
	var addresses []string
	for _, port := range strings.Split(os.Getenv("PEER_PORTS"), ",") {
		addresses = append(addresses, "127.0.0.1:"+port)
	}
	config.Cluster.Network.SetAddresses(addresses...)
	config.Cluster.InvocationTimeout = types.Duration(15 * time.Second)
	config.Cluster.ConnectionStrategy.Timeout = types.Duration(10 * time.Second)
	config.Logger.Level = logger.OffLevel
	config.Serialization.SetPortableFactories(factory{})
	config.Serialization.Compact.SetSerializers(personSerializer{})
	return config
}

// The name of a structure that no other case uses.
func (it *testCase) fresh(more ...string) string {
	return "go-" + it.name + "-" + run + strings.Join(more, "")
}

// Notes what an operation returns, or its error.
func (it *testCase) see(value interface{}, err error) {
	if err != nil {
		it.note(err)
	} else {
		it.note(value)
	}
}

// Notes the error of an operation, or "ok".
func (it *testCase) act(err error) {
	if err != nil {
		it.note(err)
	} else {
		it.seen = append(it.seen, "ok")
	}
}

func (it *testCase) seeUnordered(values interface{}, err error) {
	if err != nil {
		it.note(err)
	} else {
		it.seen = append(it.seen, unordered(values))
	}
}

func (it *testCase) note(value interface{}) {
	it.seen = append(it.seen, text(value))
}

func isSoon(condition func() bool) bool {
	for end := time.Now().Add(waitMax); !condition(); time.Sleep(poll) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// Waits for a condition, and notes whether it came true.
func (it *testCase) wait(condition func() bool) {
	if isSoon(condition) {
		it.seen = append(it.seen, "came")
	} else {
		it.seen = append(it.seen, "did not come")
	}
}

// Events, as texts.
type events struct {
	lock  sync.Mutex
	texts []string
}

func (e *events) add(name string, parts ...interface{}) {
	texts := []string{name}
	for _, part := range parts {
		texts = append(texts, text(part))
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	e.texts = append(e.texts, strings.Join(texts, " "))
}

func (e *events) all() []string {
	e.lock.Lock()
	defer e.lock.Unlock()
	return append([]string{}, e.texts...)
}

var kinds = map[hazelcast.EntryEventType]string{
	hazelcast.EntryAdded: "added", hazelcast.EntryRemoved: "removed", hazelcast.EntryUpdated: "updated",
	hazelcast.EntryEvicted: "evicted", hazelcast.EntryExpired: "expired",
	hazelcast.EntryAllEvicted: "all-evicted", hazelcast.EntryAllCleared: "cleared",
	hazelcast.EntryLoaded: "loaded", hazelcast.EntryInvalidated: "invalidated", hazelcast.EntryMerged: "merged",
}

// Notes an event of entries.
func (e *events) entry(event *hazelcast.EntryNotified) {
	switch event.EventType {
	case hazelcast.EntryAllEvicted, hazelcast.EntryAllCleared:
		e.add(kinds[event.EventType], event.NumberOfAffectedEntries)
	default:
		e.add(kinds[event.EventType], event.Key, event.OldValue, event.Value)
	}
}

func itemKind(kind hazelcast.ItemEventType) string {
	if kind == hazelcast.ItemAdded {
		return "added"
	}
	return "removed"
}

// Waits for a number of events, and then for further ones; notes them in their order.
func (it *testCase) events(e *events, count int) {
	isSoon(func() bool { return len(e.all()) >= count })
	time.Sleep(quiet)
	it.seen = append(it.seen, "events ["+strings.Join(e.all(), ", ")+"]")
}

// The same for events of several keys, whose order does not count.
func (it *testCase) eventsOfKeys(e *events, count int) {
	isSoon(func() bool { return len(e.all()) >= count })
	time.Sleep(quiet)
	sorted := e.all()
	sort.Strings(sorted)
	it.seen = append(it.seen, "events ("+strings.Join(sorted, ", ")+")")
}

// A client of its own, which is closed after the case.
func (it *testCase) another() *hazelcast.Client {
	return it.anotherWith(config())
}

func (it *testCase) anotherWith(config hazelcast.Config) *hazelcast.Client {
	other := must(hazelcast.StartNewClientWithConfig(ctx, config))
	it.others = append(it.others, other)
	return other
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Runs an operation in a goroutine.
type task struct {
	done  chan struct{}
	value interface{}
	err   error
}

func start(operation func() (interface{}, error)) *task {
	t := &task{done: make(chan struct{})}
	go func() {
		t.value, t.err = operation()
		close(t.done)
	}()
	return t
}

func (t *task) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func (t *task) result() (interface{}, error) {
	select {
	case <-t.done:
		return t.value, t.err
	case <-time.After(2 * waitMax):
		return nil, context.DeadlineExceeded
	}
}

func (it *testCase) outcome() string {
	return strings.Join(it.seen, "; ")
}

func (it *testCase) close() {
	for _, other := range it.others {
		_ = other.Shutdown(ctx)
	}
}
