from xpander_sdk import Tasks

tasks = Tasks()

# As the documentation shows it:
task = await tasks.aget("task-456")
print(f"Task status: {task.status}")
print(f"Task result: {task.result}")
