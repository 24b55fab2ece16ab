from xpander_sdk import Tasks

tasks = Tasks()

# As the documentation shows it:
task = tasks.get("task-456")
print(f"Task status: {task.status}")
print(f"Task result: {task.result}")
