output "coldforge" {
  description = "What `make deploy`, `make image` and `coldforge doctor` need to know."
  value       = module.coldforge
}
