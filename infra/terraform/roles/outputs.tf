output "role_assignments" {
  description = "Every role assignment, with what an operator sees where it is missing; read by `make roles`."
  value       = module.roles.assignments
}
