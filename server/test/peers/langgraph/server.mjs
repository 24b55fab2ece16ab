// LangGraph's development server, with its options as an argument in JSON.
import { startServer } from "@langchain/langgraph-api/server";

const { cleanup } = await startServer(JSON.parse(process.argv[2]));
process.on("SIGTERM", async () => {
  await cleanup();
  process.exit();
});
