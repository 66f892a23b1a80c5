output "assignments" {
  description = "Every assignment, with what an operator sees where it is missing; read by `make roles`."
  value = {
    for name, assignment in local.assignments : name => {
      principal_id = assignment.principal_id
      role         = assignment.role
      scope        = assignment.scope
      symptom      = assignment.symptom
    }
  }
}
