// Package errand is the Go client of an Errand server, the durable task layer
// for AI agents.
//
// A client creates tasks for agents, follows what happens to them, and stops
// them:
//
//	client, err := errand.NewClient() // ERRAND_URL and ERRAND_API_KEY
//	task, err := client.Tasks.Create(ctx, errand.TaskRequest{
//		AgentID: "profile",
//		Prompt:  "Analyze the sales data",
//		FileURLs: []string{file.URL},
//	})
//	for event, err := range task.Events(ctx) {
//		…
//	}
//
// A stream of events survives cut connections and restarts of the server: it
// reconnects from the last event it has seen and yields every event once, in
// order. The package depends on nothing but the standard library.
package errand
