// Package a2a is the Agent2Agent protocol, version 1.0, in front of every agent: by
// JSON-RPC and by REST, at one address. A turn of a task is a task of the protocol, its
// task the context; what the protocol shows is folded from the turn's log. It holds no
// rule about tasks.
package a2a
