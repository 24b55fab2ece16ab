// Package nodes tests several servers on one database from outside: real processes
// on one machine that share a PostgreSQL database and a data folder. What happens
// at one node has to be seen at another, and the end of one must cost nothing that
// was acknowledged.
package nodes
