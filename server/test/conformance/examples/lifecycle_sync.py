from xpander_sdk import AgentExecutionStatus, Tasks

tasks = Tasks()

# As the documentation shows it:
# Stop a running task
stopped_task = tasks.stop("task-456")
print(f"Task {stopped_task.id} has been stopped")

# Update task status
updated_task = tasks.update(
    task_id="task-456",
    status=AgentExecutionStatus.Completed,
    result="Analysis completed successfully"
)
